"""The file held against the disk: the checkpoint's own description, and every sample of every source."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from posttrain.errors import ConfigError, DataError, Issue, ModelError, RewardError

if TYPE_CHECKING:
    from posttrain.config import LoadedSweep
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
    """
    from posttrain.models.reading import reading_of
    from posttrain.models.sizes import check_adapter

    try:
        info, spec = reading_of(loaded.config, loaded.base_dir)
        check_adapter(loaded.config, info, _ranks(loaded))
    except ModelError as error:
        raise ConfigError([placed(loaded, str(error), "model.checkpoint")]) from error
    _rewards(loaded)
    return Inspection(info, spec, _data(loaded, spec, progress))


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


def _rewards(loaded: "LoadedSweep") -> None:
    """Loads the reward files that the sweep file allows to run."""
    from posttrain.config import RlConfig
    from posttrain.evaluation.rewards import Rewards

    if isinstance(loaded.config.strategy, RlConfig):
        try:
            Rewards.load(loaded.config.strategy, loaded.base_dir)
        except RewardError as error:
            raise ConfigError([placed(loaded, str(error), "strategy.rewards")]) from error


def placed(loaded: "LoadedSweep", message: str, where: str) -> Issue:
    """An issue at the line of the path that a message begins with, or else of `where`."""
    match = _PLACE.match(message)
    return loaded.issue(match[1], message[match.end() :]) if match else loaded.issue(where, message)


def _data(loaded: "LoadedSweep", spec: "Spec", progress: "Progress") -> "Dataset[Any]":
    from posttrain.data import prepare

    try:
        return prepare(loaded.config, spec, loaded.base_dir, progress)
    except DataError as error:
        raise all_that_fails(loaded, spec, error) from error


def all_that_fails(loaded: "LoadedSweep", spec: "Spec", error: DataError) -> ConfigError:
    """Reading stops at the first source that fails; people want to hear of all."""
    from posttrain.data import scan

    first = placed(loaded, str(error), "data.sources")
    issues = [first]
    for name, source in loaded.config.data.sources.items():
        where = f"data.sources.{name}"
        issue = _failure(loaded, where, lambda n=name, s=source: scan(n, s, spec, loaded.base_dir))  # type: ignore[misc]
        if issue is not None and issue.message != first.message:
            issues.append(issue)
    return ConfigError(issues)


def _failure(loaded: "LoadedSweep", where: str, attempt: Callable[[], object]) -> Issue | None:
    try:
        attempt()
    except DataError as error:
        return placed(loaded, str(error), where)
    return None
