"""From a sweep file to a SweepConfig, or to all of its mistakes at once."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from posttrain import paths
from posttrain.config import yaml_lines
from posttrain.config.advice import warnings_of
from posttrain.config.base import Finding
from posttrain.config.crosscheck import findings
from posttrain.config.default_space import default_space_file, fit_to_file
from posttrain.config.default_values import missing_defaults
from posttrain.config.drawn import merge
from posttrain.config.issues import dotted, issues_of, issues_of_findings
from posttrain.config.resolved import leaves, plain
from posttrain.config.space import Dimension, SearchSpace
from posttrain.config.space_check import corner_findings, name_findings
from posttrain.config.suited import keys_of_other_kinds
from posttrain.config.support import FAMILIES, STRATEGIES, Kind, kind_of, refused
from posttrain.config.tree import COMMAND_LINE, Origin, Tree, read_layers, read_tree
from posttrain.config.trial import SingleConfig, SweepConfig, TrialConfig
from posttrain.errors import ConfigError, Issue

_SPACE: TypeAdapter[Any] = TypeAdapter(SearchSpace)
# (checkpoint, folder that relative paths start from) -> the family that the checkpoint's own files tell, if they do.
FamilyOf = Callable[[str, Path], str | None]


Config = TypeVar("Config", bound=TrialConfig)


@dataclass(frozen=True)
class Loaded(Generic[Config]):
    """A sweep file that holds; relative paths in it start from `base_dir`, the folder it lies in.

    `origins`: dotted path of every value -> "file:line", "default" or "command line".
    """

    config: Config
    origins: dict[str, str]
    warnings: list[Issue]
    search_space_file: Path | None
    path: Path
    base_dir: Path
    overrides: tuple[str, ...] = field(default=())

    def issue(self, where: str, message: str, hint: str = "") -> Issue:
        """An issue about a path of the file, with the line it was written in."""
        places = [origin for path, origin in self.origins.items() if f"{path}.".startswith(f"{where}.")]
        place = next((origin for origin in places if origin != "default"), "")
        file, colon, line = place.rpartition(":")
        return Issue(where, message, file or place or str(self.path), int(line) if colon else None, hint)


LoadedSweep = Loaded[SweepConfig]
LoadedSingle = Loaded[SingleConfig]


def load_sweep(path: str | Path, overrides: Sequence[str] = (), family_of: FamilyOf | None = None) -> LoadedSweep:
    """Reads a sweep file with what it inherits, `section.key=value` overrides and its search space.

    Args:
        family_of: tells the family where the file leaves it to the checkpoint.

    Raises:
        ConfigError: with an issue for each mistake in any of the files.
    """
    path = Path(path)
    tree = read_layers(path, overrides)
    family = _family(tree, path.parent, family_of)
    kind = _kind(tree, family)
    rate_is_written = ("training", "learning_rate") in tree.origins
    if kind is not None:
        _fill_in(tree, kind, family, path.parent)
    space_file = _splice_search_space(tree, path.parent, family, rate_is_written=rate_is_written)
    if kind is not None:
        tree.issues += issues_of_findings(keys_of_other_kinds(tree.value, kind), tree.value, _locator(tree))
    config = _validate(tree, SweepConfig, excused=() if kind is not None else ("search_space",))
    warnings = issues_of_findings(warnings_of(config, tree.value), tree.value, _locator(tree))
    origins = _origins(config, tree)
    return LoadedSweep(config, origins, warnings, space_file, path, path.parent.absolute(), tuple(overrides))


def load_single(
    path: str | Path,
    overrides: Sequence[str] = (),
    family_of: FamilyOf | None = None,
    *,
    base_dir: Path | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> LoadedSingle:
    """Reads a sweep file, or a trial.yaml, as one trial's configuration; what it says of the search is not looked at.

    Args:
        base_dir: where relative paths start, if not in the file's folder.
        parameters: values by configuration path that replace the file's; an override of the same path wins.

    Raises:
        ConfigError: with an issue for each mistake.
    """
    path = Path(path)
    base_dir = (base_dir or path.parent).absolute()
    tree = read_layers(path, overrides)
    tree.value.pop("search_space", None)
    family = _family(tree, base_dir, family_of)
    kind = _kind(tree, family)
    if kind is not None:
        _fill_in(tree, kind, family, path.parent)
        tree.issues += issues_of_findings(keys_of_other_kinds(tree.value, kind), tree.value, _locator(tree))
    config = _validate(tree, SingleConfig)
    found = [each for each in warnings_of(config, tree.value) if each[0][0] != "search"]
    warnings = issues_of_findings(found, tree.value, _locator(tree))
    origins = _origins(config, tree)
    if parameters:
        config, origins = _with_parameters(config, origins, parameters, overrides)
    return LoadedSingle(config, origins, warnings, None, path, base_dir, tuple(overrides))


def load_trial(text: str, label: str = "trial.yaml") -> TrialConfig:
    """Reads what `trial_yaml` wrote; raises ConfigError."""
    document = yaml_lines.parse(text, label)
    if document.issues:
        raise ConfigError(document.issues)
    try:
        return TrialConfig.model_validate(document.value)
    except ValidationError as error:
        lines = document.lines

        def where(at: Sequence[str]) -> tuple[str, int | None]:
            return label, next((lines[key] for n in range(len(at), -1, -1) if (key := tuple(at[:n])) in lines), None)

        raise ConfigError(issues_of(error, TrialConfig, document.value, where)) from error


def _family(tree: Tree, base_dir: Path, family_of: FamilyOf | None) -> str | None:
    """The family as written, or as the checkpoint tells it, which is then put into the document."""
    model = tree.value.get("model")
    if not isinstance(model, dict):
        return None
    written, checkpoint = model.get("family"), model.get("checkpoint")
    if written is None and isinstance(checkpoint, str) and family_of is not None:
        written = family_of(checkpoint, base_dir)
        if written is not None:
            tree.put(("model", "family"), written, Origin("the checkpoint", None, base_dir))
    return written if written in FAMILIES else None


def _kind(tree: Tree, family: str | None) -> Kind | None:
    """How the file trains; None where its strategy is wrong or refused, which is reported."""
    strategy = tree.value.get("strategy")
    kind = strategy.get("type") if isinstance(strategy, dict) else None
    return None if kind not in STRATEGIES or refused(family, kind) else kind_of(family, kind)


def _fill_in(tree: Tree, kind: Kind, family: str | None, folder: Path) -> None:
    """Adds the defaults that depend on how the file trains, and on what."""
    for place, value, origin in missing_defaults(tree.value, kind, family, tree.value["strategy"]["type"]):
        tree.put(place, value, Origin(origin, None, folder))


def _with_parameters(
    config: SingleConfig, origins: dict[str, str], parameters: Mapping[str, Any], overrides: Sequence[str]
) -> tuple[SingleConfig, dict[str, str]]:
    written = [text.partition("=")[0].strip() for text in overrides]
    used = {path: value for path, value in parameters.items() if not any(_overlap(path, other) for other in written)}
    merged = merge(config, used)
    update = {name: getattr(merged, name) for name in TrialConfig.model_fields}
    changed = {path: "the trial taken by --from" for path in origins if any(_overlap(path, other) for other in used)}
    return config.model_copy(update=update), origins | changed


def _overlap(one: str, other: str) -> bool:
    """Whether one path is the other, or lies below it."""
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


def _validate(tree: Tree, schema: type[Config], excused: Sequence[str] = ()) -> Config:
    """The config; a path that is `excused` could not be filled in because of another mistake, and is not reported."""
    where = _locator(tree)
    try:
        config = schema.model_validate(tree.value)
    except ValidationError as error:
        found = issues_of(error, schema, tree.value, where)
        issues = [*tree.issues, *(issue for issue in found if issue.where not in excused)]
        sections = _right_sections(error, tree.value, schema)
        names = name_findings(tree.value, _right_dimensions(tree.value))
        more = [*findings(schema.checks(), sections), *names]
        known = {issue.where for issue in issues}
        issues += [i for i in issues_of_findings(more, tree.value, where) if i.where not in known]
        raise ConfigError(_in_file_order(issues)) from error
    wrong = _search_findings(tree, config) if isinstance(config, SweepConfig) else []
    issues = [*tree.issues, *issues_of_findings(wrong, tree.value, where)]
    if issues:
        raise ConfigError(_in_file_order(issues))
    return config


def _search_findings(tree: Tree, config: SweepConfig) -> list[Finding]:
    return name_findings(tree.value, config.search_space) or corner_findings(config)


def _right_sections(error: ValidationError, document: Mapping[str, Any], schema: type[TrialConfig]) -> dict[str, Any]:
    """The sections in which nothing is wrong, so that what they must agree on can still be checked."""
    wrong = {details["loc"][0] for details in error.errors(include_url=False) if details["loc"]}
    sections: dict[str, Any] = {}
    for name, info in schema.model_fields.items():
        if name in wrong:
            continue
        if name in document:
            annotated = schema.__annotations__.get(name) or TrialConfig.__annotations__[name]
            sections[name] = TypeAdapter(annotated).validate_python(document[name])
        elif not info.is_required():
            sections[name] = info.get_default()
    return sections


def _right_dimensions(document: Mapping[str, Any]) -> dict[str, Dimension]:
    """The dimensions in which nothing is wrong."""
    written = document.get("search_space")
    right: dict[str, Dimension] = {}
    for name, dimension in (written if isinstance(written, dict) else {}).items():
        with contextlib.suppress(ValidationError):  # reported with the whole file
            right |= _SPACE.validate_python({name: dimension})
    return right


def _splice_search_space(tree: Tree, base_dir: Path, family: str | None, *, rate_is_written: bool) -> Path | None:
    """Puts the dimensions of a search-space file in the place of its name; the strategy's own where none is named."""
    named = tree.value.get("search_space")
    if named is not None and not isinstance(named, str):
        return None
    strategy = tree.value.get("strategy")
    kind = strategy.get("type") if isinstance(strategy, dict) else None
    file = default_space_file(family, kind) if named is None else _find_space(tree, named, base_dir)
    if file is None and named is None:  # then the strategy itself is wrong, which is reported
        return None
    tree.value["search_space"] = {}
    if file is None:
        return None
    try:
        space = read_tree(file, _label(file))
    except ConfigError as error:
        tree.issues += error.issues
        return None
    tree.issues += space.issues
    if named is None:
        fit_to_file(space, tree.value, rate_is_written=rate_is_written)
    tree.replace(("search_space",), space.value, space.origins)
    return file


def _find_space(tree: Tree, named: str, base_dir: Path) -> Path | None:
    origin = tree.origin(("search_space",))
    folder = base_dir if origin.file == COMMAND_LINE else origin.folder
    shipped = paths.shipped("search_spaces")
    candidates = [folder / Path(named).expanduser(), shipped / Path(named).name]
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        there = ", ".join(sorted(path.name for path in shipped.glob("*.yaml")))
        message = f"there is no file {candidates[0]}, and none of this name ships with the program"
        tree.issues.append(Issue("search_space", message, origin.file, origin.line, f"there ship: {there}"))
    return found


def _label(file: Path) -> str:
    """How messages name a file: relative to where the user is, if it is below."""
    absolute, here = file.absolute(), Path.cwd()
    return str(absolute.relative_to(here) if absolute.is_relative_to(here) else file)


def _locator(tree: Tree) -> Any:
    def where(path: Sequence[str]) -> tuple[str, int | None]:
        origin: Origin = tree.origin(path)
        return origin.file, origin.line

    return where


def _in_file_order(issues: list[Issue]) -> list[Issue]:
    """By file in the order of appearance, then by line."""
    files = list(dict.fromkeys(issue.file for issue in issues))
    return sorted(issues, key=lambda issue: (files.index(issue.file), issue.line or 0))


def _origins(config: TrialConfig, tree: Tree) -> dict[str, str]:
    """The origin of every leaf of the resolved config."""
    written = {dotted(key, tree.value): str(origin) for key, origin in tree.origins.items()}
    return {path: written.get(path, "default") for path in leaves(plain(config))}
