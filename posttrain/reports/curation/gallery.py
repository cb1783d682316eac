"""Samples to look at that belong to no threshold: duplicates beside what is kept instead, and other filters' drops."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from posttrain.data import Fault, Judged, SourceScan
from posttrain.data.filters import Threshold
from posttrain.reports.curation.panels import Card, is_of

# Groups of duplicates, and duplicates within one; samples shown per filter.
_GROUPS = 10
_PER_GROUP = 5
_PER_FILTER = 8
# Kept samples that show what a source is like.
_SOURCES = 12
_PER_SOURCE = 4


@dataclass(frozen=True)
class Gallery:
    """What one filter drops, or would: `count` in all; the cards are examples, in groups that belong together."""

    filter: str
    in_force: bool
    count: int
    groups: list[list[Card]]


def galleries(
    judged: Sequence[Judged[Any]], in_force: Sequence[Threshold], proposed: Sequence[Judged[Any]]
) -> list[Gallery]:
    """A gallery per filter that dropped samples for what no threshold of a score tells.

    Args:
        in_force: the thresholds, which have panels of their own.
        proposed: kept samples with the faults that the standard filters which are not in force would find.
    """
    by_id = {one.sample.id: one for one in judged}
    dropped = _by_filter(judged, in_force)
    would_be = {name: found for name, found in _by_filter(proposed, ()).items() if found[0][1].other is not None}
    return [
        *(Gallery(name, True, len(found), list(_groups(found, by_id, "dropped"))) for name, found in dropped.items()),
        *(Gallery(name, False, len(found), list(_groups(found, by_id, "copy"))) for name, found in would_be.items()),
    ]


def kept_examples(scans: Mapping[str, SourceScan[Any]]) -> list[list[Card]]:
    """A few kept samples of each of the first sources, evenly spread over its ids."""
    groups = []
    for scan in list(scans.values())[:_SOURCES]:
        kept = [one for one in scan.judged if one.kept]
        step = max(1, len(kept) // _PER_SOURCE)
        groups.append([Card(one, "kept") for one in kept[::step][:_PER_SOURCE]])
    return [group for group in groups if group]


def _by_filter(
    judged: Sequence[Judged[Any]], limits: Sequence[Threshold]
) -> dict[str, list[tuple[Judged[Any], Fault]]]:
    found: dict[str, list[tuple[Judged[Any], Fault]]] = {}
    for one in judged:
        if one.faults and not is_of(one, one.faults[0], limits):
            found.setdefault(one.faults[0].filter, []).append((one, one.faults[0]))
    return dict(sorted(found.items()))


def _groups(
    dropped: Sequence[tuple[Judged[Any], Fault]], by_id: dict[str, Judged[Any]], verb: str
) -> Iterator[list[Card]]:
    """Duplicates with what is kept instead of them; the rest in one group that has every kind of reason."""
    instead: dict[str, list[Card]] = {}
    kinds: dict[str, list[Card]] = {}
    for one, fault in dropped:
        if fault.other is not None and fault.other in by_id:
            instead.setdefault(fault.other, []).append(Card(one, f"{verb}: {fault.reason}"))
        else:
            kinds.setdefault(fault.kind, []).append(Card(one, f"{verb}: {fault.reason}"))
    for kept, cards in list(instead.items())[:_GROUPS]:
        more = f", {len(cards)} copies" if len(cards) > 1 else ""
        yield [Card(by_id[kept], f"kept{more}" if by_id[kept].kept else "compared with"), *cards[:_PER_GROUP]]
    if kinds:
        each = max(1, _PER_FILTER // len(kinds))
        yield [card for cards in kinds.values() for card in cards[:each]]
