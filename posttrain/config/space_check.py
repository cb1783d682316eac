"""Is every search dimension about something that exists, and does every value it can take make a valid trial?

`name_findings` needs only the sections that are right; `corner_findings` merges the ends and choices of the dimensions
into the config, one by one and then the discrete ones together, as long as their number allows it.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from posttrain.config.base import Finding, Section
from posttrain.config.data import DataConfig, source_hint, unknown_sources
from posttrain.config.drawn import DEFAULT_STAGE, merge, value_at
from posttrain.config.schema import key_paths
from posttrain.config.space import Choice, Dimension, LogUniform, RandInt, Simplex, Uniform
from posttrain.config.strategy import STRATEGY_CONFIGS, LoraConfig
from posttrain.config.support import nearest_path
from posttrain.config.training import TrainingConfig
from posttrain.config.trial import SweepConfig, TrialConfig
from posttrain.errors import ConfigError

Value = Any
_NOT_SEARCHED = ("type", "allow_code", "rewards", "modules", "freeze")
_SEARCHED_OF_STAGES = ("weights", "where", "min_quality", "learning_rate_factor")
_MAX_TOGETHER = 1000
_MAX_INTEGERS = 64


def name_findings(document: Mapping[str, Any], space: Mapping[str, Dimension]) -> list[Finding]:
    """What is wrong with names: of dimensions, in their `when`, and of sources in a simplex or in weights.

    Reads the document as it was written, so that it works beside other mistakes; `space` holds its right dimensions.
    """
    written = document.get("search_space")
    names = _texts(written) if isinstance(written, dict) else ()
    known, sources = searchable(document), _texts(_section(document, "data", "sources"))
    found: list[Finding] = [(("search_space", name), *_unknown(name, known)) for name in names if name not in known]
    for name, dimension in space.items():
        at = ("search_space", name)
        weighed = () if _goes_by_column(name, document) else sources
        found += [((*at, *below), message, hint) for below, message, hint in _kind_fits(name, dimension, weighed)]
        found += [((*at, "when", path), *_unknown_condition(path)) for path in _bad_conditions(dimension, known)]
    stages = _entries(document, "data", "stages")
    weights = [stage.get("weights") if stage.get("by") is None else None for stage in stages]
    named = [_texts(weight) if isinstance(weight, dict) else None for weight in weights]
    unknown = unknown_sources(named, sources)
    return [
        *found,
        *((("data", "stages", *below), message, hint) for below, message, hint in unknown),
        *_circles(space),
    ]


def searchable(document: Mapping[str, Any]) -> tuple[str, ...]:
    """The configuration paths that a search space may name, in a file or in a dumped config."""
    kind = str(_section(document, "strategy").get("type"))
    searched: dict[str, type[Section]] = {
        "strategy": STRATEGY_CONFIGS.get(kind, LoraConfig),
        "training": TrainingConfig,
    }
    paths = [
        f"{section}.{name}"
        for section, model in searched.items()
        for name in model.model_fields
        if name not in _NOT_SEARCHED
    ]
    stages = [str(stage.get("name")) for stage in _entries(document, "data", "stages")] or [DEFAULT_STAGE]
    paths += [f"data.stages.{stage}.{key}" for stage in stages for key in _SEARCHED_OF_STAGES]
    paths += [f"data.stages.{stage}.fraction" for stage in stages if len(stages) > 1]
    steps = _entries(document, "data", "augmentations")
    return (*paths, *(f"data.augmentations.{step.get('type')}.probability" for step in steps))


def _section(document: Any, *keys: str) -> dict[Any, Any]:
    for key in keys:
        document = document.get(key) if isinstance(document, Mapping) else None
    return document if isinstance(document, dict) else {}


def _texts(names: Iterable[Any]) -> tuple[str, ...]:
    """Names that are texts; others are wrong and reported as such."""
    return tuple(name for name in names if isinstance(name, str))


def _entries(document: Mapping[str, Any], section: str, key: str) -> list[dict[str, Any]]:
    listed = _section(document, section).get(key)
    return [item for item in listed if isinstance(item, dict)] if isinstance(listed, (list, tuple)) else []


def corner_findings(config: SweepConfig) -> list[Finding]:
    """What is wrong with a config into which the extreme values of the space are merged; its names must be right."""
    space = config.search_space
    found: list[Finding] = []
    for name, dimension in space.items():
        for value in corners(dimension):
            problem = _problem(config, {**_conditions(dimension, space), name: value})
            if problem:
                hint = "take randint or choice" if "found" in problem and "whole number" in problem else ""
                found.append((("search_space", name), f"with {_shown(name, value)}: {problem}", hint))
                break
    return found or _together(config)


def searched_probabilities(space: Mapping[str, Dimension]) -> dict[str, tuple[float, float]]:
    """Augmentation -> the lowest and the highest probability that a trial may draw for it."""
    prefix, suffix = "data.augmentations.", ".probability"
    ends = {
        name.removeprefix(prefix).removesuffix(suffix): corners(dimension)
        for name, dimension in space.items()
        if name.startswith(prefix) and name.endswith(suffix)
    }
    return {name: (float(min(values)), float(max(values))) for name, values in ends.items()}


def widest_data(config: SweepConfig) -> DataConfig:
    """The data section with stages that may draw whatever a trial's stages may: what is searched limits nothing."""
    data, space = config.data, config.search_space
    if data.stages is None:
        return data
    stages = []
    for stage in data.stages:
        open_ = [key for key in ("weights", "min_quality") if f"data.stages.{stage.name}.{key}" in space]
        stages.append(stage.model_copy(update=dict.fromkeys(open_)))
    return data.model_copy(update={"stages": tuple(stages)})


def corners(dimension: Dimension) -> list[Value]:
    """The ends of an interval, all choices, all whole numbers of a short range."""
    match dimension:
        case Choice():
            return list(dimension.choices)
        case RandInt() if dimension.high - dimension.low < _MAX_INTEGERS:
            return list(range(dimension.low, dimension.high + 1))
        case Uniform() | LogUniform() | RandInt():
            return [dimension.low, dimension.high]
        case Simplex():
            return [dimension.weights([1.0] * len(dimension.names))]
    raise AssertionError(f"unknown kind {dimension!r}")


def _together(config: SweepConfig) -> list[Finding]:
    """Values that are right alone may not go together: a batch size and a micro-batch size, two fractions."""
    space = config.search_space
    axes = {
        name: corners(dimension)
        for name, dimension in space.items()
        if isinstance(dimension, (Choice, RandInt)) or name.endswith(".fraction")
    }
    if len(axes) < 2 or math.prod(len(values) for values in axes.values()) > _MAX_TOGETHER:
        return []
    for values in itertools.product(*axes.values()):
        drawn = dict(zip(axes, values, strict=True))
        active = {name: value for name, value in drawn.items() if _active(config, space[name], drawn)}
        problem = _problem(config, active)
        if problem:
            shown = " and ".join(_shown(name, value) for name, value in active.items())
            return [(("search_space", next(iter(active))), f"with {shown}: {problem}", "narrow one of them")]
    return []


def _active(config: TrialConfig, dimension: Dimension, drawn: Mapping[str, Value]) -> bool:
    named = dimension.when or {}
    return dimension.active({path: drawn[path] if path in drawn else value_at(config, path) for path in named})


def _conditions(dimension: Dimension, space: Mapping[str, Dimension]) -> dict[str, Value]:
    """Values of other dimensions under which this one is searched."""
    when = {path: wanted for path, wanted in (dimension.when or {}).items() if path in space}
    return {path: wanted[0] if isinstance(wanted, (list, tuple)) else wanted for path, wanted in when.items()}


def _problem(config: SweepConfig, parameters: Mapping[str, Value]) -> str:
    try:
        merge(config, parameters)
    except ConfigError as error:
        issue = error.issues[0]
        return f"{issue.where}: {issue.message}" + (f"; {issue.hint}" if issue.hint else "")
    return ""


def _shown(name: str, value: Value) -> str:
    return f"{name} = {value:g}" if isinstance(value, float) else f"{name} = {value}"


def _unknown(name: str, known: Sequence[str]) -> tuple[str, str]:
    everywhere = [".".join(path) for path in key_paths(SweepConfig) if "*" not in path]
    if name in everywhere or name.startswith(("data.sources", "evaluation", "model", "resources", "overfit", "search")):
        return "is the same in all trials of a sweep, so it cannot be searched", _searched_beside(name, known)
    near = nearest_path(name, known)
    return "is no configuration path", f"did you mean {near}?" if near else _searched_beside(name, known)


def _searched_beside(name: str, known: Sequence[str]) -> str:
    """What can be searched in the section of a name, or where it has none, in all sections."""
    section = name.partition(".")[0]
    siblings = [path for path in known if path.partition(".")[0] == section]
    if siblings:
        return f"of {section} there can be searched {', '.join(path.partition('.')[2] for path in siblings)}"
    listed = ", ".join(path for path in known if path.startswith(("data", "strategy")))
    return f"there can be searched training.*, {listed}"


def _goes_by_column(name: str, document: Mapping[str, Any]) -> bool:
    """Whether `name` is the weights of a stage whose groups are known with the data alone."""
    return any(
        stage.get("by") is not None and name == f"data.stages.{stage.get('name')}.weights"
        for stage in _entries(document, "data", "stages")
    )


def _kind_fits(name: str, dimension: Dimension, sources: Sequence[str]) -> Iterator[Finding]:
    """Whether a dimension is of a kind that its path can hold; no `sources` are asked for where there are none."""
    if not isinstance(dimension, Simplex):
        return
    if not name.endswith(".weights"):
        yield ("simplex",), "a simplex is for the weights of a stage", "take choice or uniform"
        return
    for i, source in enumerate(dimension.names):
        if sources and source not in sources:
            yield ("simplex", str(i)), f"no source is named {source!r}", source_hint(source, sources)


def _bad_conditions(dimension: Dimension, known: Sequence[str]) -> list[str]:
    fixed = {".".join(path) for path in key_paths(TrialConfig)}
    return [path for path in dimension.when or {} if path not in fixed and path not in known]


def _unknown_condition(path: str) -> tuple[str, str]:
    near = nearest_path(path, [".".join(p) for p in key_paths(TrialConfig)])
    return "is no configuration path", f"did you mean {near}?" if near else "take a path such as strategy.type"


def _circles(space: Mapping[str, Dimension]) -> list[Finding]:
    """Dimensions whose conditions wait for each other."""
    try:
        in_order(space)
    except ValueError as error:
        name = str(error)
        return [(("search_space", name, "when"), "the conditions go in a circle", "cut it")]
    return []


def in_order(space: Mapping[str, Dimension]) -> list[str]:
    """The dimensions' names, each after those that its `when` asks for; ValueError names one in a circle."""
    done: list[str] = []

    def visit(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            raise ValueError(name)
        if name not in done:
            for other in space[name].when or {}:
                if other in space:
                    visit(other, (*above, name))
            done.append(name)

    for name in space:
        visit(name, ())
    return done
