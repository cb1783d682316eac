"""The file held against the disk: the checkpoint's own description, and every sample of every source."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from posttrain.errors import ConfigError, DataError, EnvironmentFault, Issue, ModelError, RewardError

if TYPE_CHECKING:
    from posttrain.config import LoadedSweep, SourceConfig
    from posttrain.data import Dataset
    from posttrain.data.sources import Progress
    from posttrain.models.reading import Info, Spec

_PLACE = re.compile(r"((?:model|data|training|evaluation|strategy|search_space)\.[\w.-]+): ")


@dataclass(frozen=True)
class Inspection:
    """What a sweep would train: the checkpoint as far as it is known unloaded, how it reads data, and the data."""

    info: "Info"
    spec: "Spec"
    dataset: "Dataset[Any]"


def inspect(loaded: "LoadedSweep", progress: "Progress") -> Inspection:
    """Reads the checkpoint's own files, the rewards and all data, which `progress` is told of.

    Raises:
        ConfigError: with an issue for each that cannot be used.
        EnvironmentFault: nothing else is wrong, but a source cannot be reached.
    """
    from posttrain.models.reading import reading_of
    from posttrain.models.sizes import check_adapter

    issues = _reward_issues(loaded)
    try:
        info, spec = reading_of(loaded.config, loaded.base_dir)
        check_adapter(loaded.config, info, _ranks(loaded))
    except ModelError as error:
        # how data are read is not known then, but whether they are there
        issues = [placed(loaded, str(error), "model.checkpoint"), *issues, *_missing_sources(loaded)]
        raise ConfigError(issues) from error
    try:
        dataset = _data(loaded, spec, progress)
    except (ConfigError, EnvironmentFault) as error:
        if issues:
            raise ConfigError([*issues, *error.issues]) from error
        raise
    if issues:
        raise ConfigError(issues)
    return Inspection(info, spec, dataset)


def reads(spec: "Spec") -> str:
    """What a model reads, in words."""
    from posttrain.data import ClipSpec

    if isinstance(spec, ClipSpec):
        return f"clips of {spec.frames} frames {spec.height}x{spec.width} at {spec.fps:g} fps"
    return f"rows of questions, videos of up to {spec.max_frames} frames at {spec.fps:g} fps"


def _ranks(loaded: "LoadedSweep") -> list[int]:
    """The file's own rank, and the largest that is searched."""
    from posttrain.config import LoraConfig
    from posttrain.config.space_check import corners

    config = loaded.config
    if not isinstance(config.strategy, LoraConfig):
        return []
    searched = config.search_space.get("strategy.rank")
    return [config.strategy.rank, *([max(corners(searched))] if searched is not None else [])]


def _reward_issues(loaded: "LoadedSweep") -> list[Issue]:
    """Loads the reward files that the sweep file allows to run."""
    from posttrain.config import RlConfig
    from posttrain.evaluation.rewards import Rewards

    if isinstance(loaded.config.strategy, RlConfig):
        try:
            Rewards.load(loaded.config.strategy, loaded.base_dir)
        except RewardError as error:
            return [placed(loaded, str(error), "strategy.rewards")]
    return []


def _missing_sources(loaded: "LoadedSweep") -> list[Issue]:
    from posttrain.data.places import missing

    faults = ((where, missing(source.path, loaded.base_dir)) for where, source in _sources(loaded))
    return [loaded.issue(where, fault) for where, fault in faults if fault is not None]


def _sources(loaded: "LoadedSweep") -> "Iterator[tuple[str, SourceConfig]]":
    """The configuration path and the source of everything that is read, suites of their own included."""
    from posttrain.config import SourceConfig

    config = loaded.config
    for name, source in config.data.sources.items():
        yield f"data.sources.{name}.path", source
    for name, suite in (config.evaluation.suites or {}).items():
        if suite.source not in config.data.sources:
            yield f"evaluation.suites.{name}.source", SourceConfig(path=suite.source)


def placed(loaded: "LoadedSweep", message: str, where: str) -> Issue:
    """An issue at the line of the path that a message begins with, or else of `where`."""
    match = _PLACE.match(message)
    return loaded.issue(match[1], message[match.end() :]) if match else loaded.issue(where, message)


def _data(loaded: "LoadedSweep", spec: "Spec", progress: "Progress") -> "Dataset[Any]":
    from posttrain.data import prepare

    try:
        return prepare(loaded.config, spec, loaded.base_dir, progress)
    except (DataError, EnvironmentFault) as error:
        raise all_that_fails(loaded, spec, error) from error


def all_that_fails(
    loaded: "LoadedSweep", spec: "Spec", error: DataError | EnvironmentFault
) -> ConfigError | EnvironmentFault:
    """Reading stops at the first source that fails; people want to hear of all, with their lines."""
    match = _PLACE.match(str(error))
    if isinstance(error, EnvironmentFault) and match is None:
        return error  # the disk or the cache, not a source
    first = placed(loaded, str(error), "data.sources")
    issues, only_faults = [first], isinstance(error, EnvironmentFault)
    for where, source in _sources(loaded):
        if where == first.where:
            continue
        failed = _failure(loaded, spec, where, source)
        if failed is not None and str(failed) != str(error):
            issues.append(placed(loaded, str(failed), where))
            only_faults = only_faults and isinstance(failed, EnvironmentFault)
    if only_faults:
        return EnvironmentFault("\n".join(map(str, issues)), issues)
    return ConfigError(issues)


def _failure(
    loaded: "LoadedSweep", spec: "Spec", where: str, source: "SourceConfig"
) -> DataError | EnvironmentFault | None:
    from posttrain.data import scan

    try:
        scan(where.split(".")[2], source, spec, loaded.base_dir, where=where)
    except (DataError, EnvironmentFault) as error:
        return error
    return None
