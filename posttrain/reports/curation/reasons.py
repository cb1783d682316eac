"""How many samples were dropped, by source, filter and kind of reason; every count has an example."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from posttrain.data import Dataset, Dropped

# What is blamed where no filter is: the file could not be read, or says too little to be a sample.
READING = "reading"


@dataclass(frozen=True)
class Reason:
    """`count` samples of `source` dropped by `filter` for one kind of reason; `example` is the first of them."""

    source: str
    filter: str
    kind: str
    count: int
    example: Dropped

    def to_dict(self) -> dict[str, Any]:
        """The shape of `posttrain data --json`."""
        return {
            "source": self.source,
            "filter": self.filter,
            "reason": self.kind,
            "count": self.count,
            "example": {"id": self.example.id, "file": str(self.example.video), "reason": self.example.reason},
        }


def dropped_by(dataset: Dataset[Any]) -> Iterator[tuple[str, str, Dropped]]:
    """Every dropped sample with the place of its source and the filter that dropped it."""
    for place, scan in dataset.scans.items():
        blamed = {judged.sample.id: judged.faults[0].filter for judged in scan.judged if judged.faults}
        for entry in scan.dropped:
            yield place, blamed.get(entry.id, READING), entry


def count_reasons(dataset: Dataset[Any]) -> list[Reason]:
    """The reasons of each source, most frequent first."""
    found: dict[tuple[str, str, str], list[Any]] = {}
    for place, blamed, entry in dropped_by(dataset):
        count = found.setdefault((place, blamed, entry.kind), [0, entry])
        count[0] += 1
    order = {place: index for index, place in enumerate(dataset.scans)}
    reasons = [Reason(*key, count, example) for key, (count, example) in found.items()]
    return sorted(reasons, key=lambda reason: (order[reason.source], -reason.count))
