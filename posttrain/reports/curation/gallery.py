"""Samples to look at that belong to no threshold: duplicates beside what is kept instead, and other filters' drops."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from posttrain.data import Fault, Judged
from posttrain.reports.curation.panels import Card

# Groups of duplicates, and duplicates within one; samples shown per filter.
_GROUPS = 10
_PER_GROUP = 5
_PER_FILTER = 8


@dataclass(frozen=True)
class Gallery:
    """What one filter dropped: `count` in all, of which the cards are examples, in groups that belong together."""

    filter: str
    count: int
    groups: list[list[Card]]


def galleries(judged: Sequence[Judged[Any]], shown: set[str]) -> list[Gallery]:
    """A gallery per filter that dropped something for its first fault and is not `shown` beside a threshold."""
    found: dict[str, list[tuple[Judged[Any], Fault]]] = {}
    for one in judged:
        if one.faults and (one.faults[0].filter not in shown or one.faults[0].other is not None):
            found.setdefault(one.faults[0].filter, []).append((one, one.faults[0]))
    by_id = {one.sample.id: one for one in judged}
    return [Gallery(name, len(dropped), list(_groups(dropped, by_id))) for name, dropped in sorted(found.items())]


def _groups(dropped: Sequence[tuple[Judged[Any], Fault]], by_id: dict[str, Judged[Any]]) -> Iterator[list[Card]]:
    """Duplicates with what is kept instead of them; the rest in one group that has every kind of reason."""
    instead: dict[str, list[Card]] = {}
    kinds: dict[str, list[Card]] = {}
    for one, fault in dropped:
        if fault.other is not None and fault.other in by_id:
            instead.setdefault(fault.other, []).append(Card(one, f"dropped: {fault.reason}"))
        else:
            kinds.setdefault(fault.kind, []).append(Card(one, f"dropped: {fault.reason}"))
    for kept, cards in list(instead.items())[:_GROUPS]:
        more = f", {len(cards)} copies" if len(cards) > 1 else ""
        yield [Card(by_id[kept], f"kept{more}" if by_id[kept].kept else "compared with"), *cards[:_PER_GROUP]]
    if kinds:
        each = max(1, _PER_FILTER // len(kinds))
        yield [card for cards in kinds.values() for card in cards[:each]]
