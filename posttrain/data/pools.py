"""Which samples the stages of a training draw from: groups of what `where` and `min_quality` let through.

    stage + training samples --chosen--> places by source --by source, or by a column--> a Pool for each group

Two stages that draw from the same samples share one pool, so that its passes run on from one to the other.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from posttrain.config import StageConfig
from posttrain.config.groups import MISSING, group_name
from posttrain.config.support import nearest_or_all
from posttrain.config.where import Where, parse
from posttrain.data.sample import Kept
from posttrain.errors import DataError

Train = Mapping[str, Sequence[Kept]]
_MAX_LISTED = 12  # values of a column that a message names


@dataclass(frozen=True)
class Pool:
    """Samples that are drawn in passes over all of them.

    Attributes:
        key: tells it from other pools; that of a whole source is the source's name.
        indices: source -> the places of its samples in the source's list, ascending; sources in the order of names.
    """

    key: str
    indices: Mapping[str, npt.NDArray[np.int64]]

    @classmethod
    def of(cls, places: Mapping[str, Sequence[int]], train: Train[Any]) -> "Pool":
        """The pool of some samples."""
        indices = {source: np.asarray(places[source], np.int64) for source in sorted(places) if len(places[source])}
        whole = [source for source, chosen in indices.items() if len(chosen) == len(train[source])]
        if len(indices) == 1 and whole:
            return cls(whole[0], indices)
        ids = (train[source][place].id for source, chosen in indices.items() for place in chosen)
        digest = hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]
        return cls(f"{'+'.join(indices)}#{digest}", indices)

    @classmethod
    def whole(cls, source: str, size: int) -> "Pool":
        """The pool of all samples of a source."""
        return cls(source, {source: np.arange(size)})

    def __len__(self) -> int:
        return sum(len(chosen) for chosen in self.indices.values())

    def place(self, position: int) -> tuple[str, int]:
        """The source and the place in its list of one sample of the pool."""
        for source, chosen in self.indices.items():
            if position < len(chosen):
                return source, int(chosen[position])
            position -= len(chosen)
        raise IndexError("the position is beyond the pool")

    def share(self, source: str) -> float:
        """How much of the pool is of one source."""
        return len(self.indices.get(source, ())) / len(self)


def groups_of(stage: StageConfig, train: Train[Any]) -> dict[str, Pool]:
    """Group -> the samples of it that the stage may draw; groups without any are left out.

    Raises:
        DataError: a condition or `by` names a column that no sample has, or values that cannot be compared.
    """
    chosen = _chosen(stage, train)
    if stage.by is None:
        found = {source: {source: places} for source, places in chosen.items() if len(places)}
    else:
        found = _by_column(stage, chosen, train)
    return {name: Pool.of(places, train) for name, places in found.items()}


def values_of(column: str, train: Train[Any]) -> dict[str, int]:
    """Group -> number of training samples, most frequent first."""
    found: Counter[str] = Counter()
    for sample in _samples(train):
        found[_group(sample, column)] += 1
    return dict(found.most_common())


def listed(values: Mapping[str, int]) -> str:
    """Groups with their numbers of samples, as messages show them."""
    shown = [f"{name} ({number})" for name, number in list(values.items())[:_MAX_LISTED]]
    more = len(values) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def conditions(stage: StageConfig) -> list[tuple[str, Where]]:
    """What the stage asks of samples, with the configuration path that asks it."""
    at = f"data.stages.{stage.name}"
    asked = [] if stage.where is None else [(f"{at}.where", parse(stage.where))]
    if stage.min_quality is not None:
        asked.append((f"{at}.min_quality", parse(f"quality >= {stage.min_quality!r}")))
    return asked


def _chosen(stage: StageConfig, train: Train[Any]) -> dict[str, Sequence[int]]:
    """Source -> the places of its samples that the conditions let through."""
    asked = conditions(stage)
    if not asked:
        return {source: range(len(samples)) for source, samples in train.items()}
    columns = _columns(train)
    for at, where in asked:
        where.check_columns(columns, at)
    return {
        source: [place for place, sample in enumerate(samples) if all(_holds(at, w, sample) for at, w in asked)]
        for source, samples in train.items()
    }


def _holds(at: str, where: Where, sample: Any) -> bool:
    try:
        return where.matches(sample.metadata)
    except DataError as error:
        raise DataError(f"{at}: {error} (sample {sample.id})") from error


def _by_column(stage: StageConfig, chosen: Mapping[str, Sequence[int]], train: Train[Any]) -> dict[str, Any]:
    assert stage.by is not None
    columns = _columns(train)
    if stage.by not in columns:
        remedy = nearest_or_all(stage.by, columns, "columns")
        raise DataError(f"data.stages.{stage.name}.by: no training sample has the column {stage.by!r}; {remedy}")
    found: dict[str, dict[str, list[int]]] = {}
    for source, places in chosen.items():
        for place in places:
            group = _group(train[source][place], stage.by)
            found.setdefault(group, {}).setdefault(source, []).append(place)
    return dict(sorted(found.items()))


def _group(sample: Any, column: str) -> str:
    value = sample.metadata.get(column)
    group = group_name(value)
    if group is None:
        raise DataError(
            f"data.stages: {column!r} of {sample.id} is a {type(value).__name__}, and groups go by single values: a "
            "text, a number, true or false; take another column for `by`"
        )
    return group


def _columns(train: Train[Any]) -> list[str]:
    """Columns in which some sample has a value."""
    found: dict[str, None] = {}
    for sample in _samples(train):
        found |= dict.fromkeys(key for key, value in sample.metadata.items() if group_name(value) != MISSING)
    return sorted(found)


def _samples(train: Train[Any]) -> Iterable[Any]:
    return (sample for samples in train.values() for sample in samples)
