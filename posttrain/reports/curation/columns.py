"""The metadata columns of a data set: how many samples have each, what kinds of values, their range."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

_COMMON = 5
_LONGEST = 60


@dataclass
class Column:
    """One metadata column over the samples that have it; a null counts as not having it.

    Attributes:
        coverage: source -> how many of its samples have a value.
        kinds: number, text, true/false, list or object -> how many values are one.
        low, high: the range of its numbers; None where it has none.
        values: each value as text -> how many samples have it.
    """

    name: str
    coverage: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    low: float | None = None
    high: float | None = None
    values: Counter[str] = field(default_factory=Counter)

    def add(self, source: str, value: Any) -> None:
        """Counts one sample's value."""
        kind = _kind(value)
        self.coverage[source] += 1
        self.kinds[kind] += 1
        self.values[value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)] += 1
        if kind == "number":
            self.low = value if self.low is None else min(self.low, value)
            self.high = value if self.high is None else max(self.high, value)

    @property
    def common(self) -> list[tuple[str, int]]:
        """The most frequent values, cut to a length that fits a table."""
        return [(shorten(value, _LONGEST), count) for value, count in self.values.most_common(_COMMON)]

    def to_dict(self) -> dict[str, Any]:
        """The shape of `posttrain data --json`."""
        return {
            "name": self.name,
            "coverage": dict(self.coverage),
            "kinds": dict(self.kinds),
            "min": self.low,
            "max": self.high,
            "distinct": len(self.values),
            "common": dict(self.common),
        }


def describe_columns(metadata: Iterable[tuple[str, Mapping[str, Any]]]) -> list[Column]:
    """The columns of (source, metadata) pairs, most covered first."""
    columns: dict[str, Column] = {}
    for source, values in metadata:
        for name, value in values.items():
            if value is not None:
                columns.setdefault(name, Column(name)).add(source, value)
    return sorted(columns.values(), key=lambda column: (-column.coverage.total(), column.name))


def shorten(text: str, length: int) -> str:
    """`text` in at most `length` characters."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true/false"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "text"
    return "object" if isinstance(value, Mapping) else "list"
