"""The metadata of samples by column, for people: who has it, and which values there are."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from posttrain.config.groups import MISSING, group_name
from posttrain.data.rows import Row
from posttrain.data.sample import Sample

_MAX_VALUES = 8


def column_facts(samples: Iterable[Sample | Row]) -> dict[str, dict[str, Any]]:
    """Column -> `share` of the samples that have a value, and its `range` (numbers alone) or its `values`.

    `values` are the most frequent ones with their numbers of samples, `distinct` says how many there are; lists and
    mappings have neither.
    """
    columns: dict[str, list[Any]] = {}
    total = 0
    for sample in samples:
        total += 1
        for name, value in sample.metadata.items():
            if group_name(value) != MISSING:
                columns.setdefault(name, []).append(value)
    return {name: {"share": len(columns[name]) / total, **_facts(columns[name])} for name in sorted(columns)}


def _facts(values: list[Any]) -> dict[str, Any]:
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        return {"range": [min(values), max(values)]}
    counts = Counter(name for value in values if (name := group_name(value)) is not None)
    return {"values": dict(counts.most_common(_MAX_VALUES)), "distinct": len(counts)}
