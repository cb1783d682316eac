"""Each score of all samples: its histogram, and the samples that lie nearest to each threshold on both sides."""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from posttrain.data import Fault, Judged
from posttrain.data.filters import Threshold
from posttrain.reports.curation.histogram import Histogram, Mark, draw
from posttrain.reports.curation.words import MEANINGS

KEPT, DROPPED, OTHERWISE = "kept", "dropped", "otherwise"
# Shown on each side of a threshold.
_NEAREST = 4


@dataclass(frozen=True)
class Card:
    """A sample to show, with what is said under its pictures."""

    judged: Judged[Any]
    note: str


@dataclass(frozen=True)
class Side:
    """One threshold: how many samples it drops (or would), and those nearest to it."""

    threshold: Threshold
    in_force: bool
    count: int
    inside: list[Card]
    outside: list[Card]

    @property
    def label(self) -> str:
        """What stands beside its line."""
        below = "below" if self.threshold.side == "min" else "above"
        drops = "dropped" if self.in_force else "would be dropped"
        return f"{self.count} {drops} {below} {self.threshold.value:.4g}"

    @property
    def mark(self) -> Mark:
        """Its line in the histogram."""
        return Mark(self.threshold.value, self.threshold.side, self.label, self.in_force)

    @property
    def cards(self) -> int:
        """Samples that are shown."""
        return len(self.inside) + len(self.outside)

    @property
    def told(self) -> str:
        """The whole of it in words."""
        standing = self.threshold.filter if self.in_force else f"{self.threshold.filter}, not in force"
        return f"{self.label} ({standing})"


@dataclass(frozen=True)
class Panel:
    """One score: how it is spread over `count` samples, and its thresholds."""

    score: str
    count: int
    missing: int
    histogram: Histogram
    sides: list[Side]
    sources: list[tuple[str, list[float]]]
    constant: float | None  # the score that all samples have


def panels(judged: Sequence[Judged[Any]], in_force: Sequence[Threshold], standard: Sequence[Threshold]) -> list[Panel]:
    """A panel per score that any sample has; a standard threshold is shown where its score has none in force."""
    names = list(dict.fromkeys(name for one in judged for name in one.scores))
    ruled = {threshold.score for threshold in in_force}
    order = list(dict.fromkeys([*(threshold.score for threshold in (*in_force, *standard)), *MEANINGS, *names]))
    names.sort(key=order.index)
    found = []
    for name in names:
        having = [one for one in judged if name in one.scores]
        used = [threshold for threshold in in_force if threshold.score == name]
        proposed = [] if name in ruled else [threshold for threshold in standard if threshold.score == name]
        sides = [_side(having, threshold, True) for threshold in used]
        sides += [_side(having, threshold, False) for threshold in proposed]
        found.append(_panel(name, having, len(judged) - len(having), sides))
    return found


def _panel(name: str, having: Sequence[Judged[Any]], missing: int, sides: list[Side]) -> Panel:
    limits = [side.threshold for side in sides if side.in_force]
    groups: dict[str, list[float]] = {KEPT: [], DROPPED: [], OTHERWISE: []}
    by_source: dict[str, list[float]] = {}
    for one in having:
        groups[_group(one, limits)].append(one.scores[name])
        by_source.setdefault(one.sample.source, []).append(one.scores[name])
    drawing = draw(groups, [side.mark for side in sides])
    constant = _only(one.scores[name] for one in having)
    # what is nearest to a threshold that is far from everything tells nothing
    sides = [
        replace(side, inside=[]) if not side.count and (line.beyond or constant is not None) else side
        for side, line in zip(sides, drawing.lines, strict=True)
    ]
    spread = [(source, _spread(values)) for source, values in by_source.items()]
    return Panel(name, len(having), missing, drawing, sides, spread, constant)


def _group(one: Judged[Any], limits: Sequence[Threshold]) -> str:
    if not one.faults:
        return KEPT
    return DROPPED if any(is_of(one, fault, limits) for fault in one.faults) else OTHERWISE


def _only(values: Iterable[float]) -> float | None:
    distinct = set(values)
    return distinct.pop() if len(distinct) == 1 else None


def _spread(values: Sequence[float]) -> list[float]:
    """The 5th, 50th and 95th percentile."""
    ranked = sorted(values)
    return [ranked[round(share * (len(ranked) - 1))] for share in (0.05, 0.5, 0.95)]


def _side(having: Sequence[Judged[Any]], threshold: Threshold, in_force: bool) -> Side:
    beyond = [one for one in having if threshold.drops(one.scores[threshold.score])]
    if in_force:  # samples that a suite brings along are measured, whatever their scores
        outside = [one for one in beyond if any(fault.filter == threshold.filter for fault in one.faults)]
    else:  # what is dropped already cannot be dropped by one threshold more
        outside = [one for one in beyond if not one.faults]
    kept = [one for one in having if not one.faults and not threshold.drops(one.scores[threshold.score])]
    verb = "dropped" if in_force else "would be dropped"
    return Side(
        threshold, in_force, len(outside), _nearest(kept, threshold, "kept"), _nearest(outside, threshold, verb)
    )


def is_of(one: Judged[Any], fault: Fault, limits: Sequence[Threshold]) -> bool:
    """Whether the fault is that a score of the sample is beyond one of these thresholds."""
    return any(
        limit.filter == fault.filter
        and limit.value == fault.threshold
        and limit.score in one.scores
        and limit.drops(one.scores[limit.score])
        for limit in limits
    )


def _nearest(among: Sequence[Judged[Any]], threshold: Threshold, verb: str) -> list[Card]:
    def distance(one: Judged[Any]) -> tuple[float, str]:
        return abs(one.scores[threshold.score] - threshold.value), one.sample.id

    nearest = heapq.nsmallest(_NEAREST, among, key=distance)
    return [Card(one, f"{verb}: {threshold.score} {one.scores[threshold.score]:.4g}") for one in nearest]


def scores_to_dict(panel: Panel) -> dict[str, Any]:
    """The shape of `posttrain data --json`."""
    return {
        "samples": panel.count,
        "percentiles_5_50_95": dict(panel.sources),
        "thresholds": [
            {
                "filter": side.threshold.filter,
                "side": side.threshold.side,
                "value": side.threshold.value,
                "in_force": side.in_force,
                "outside": side.count,
            }
            for side in panel.sides
        ],
    }


def group_names() -> Mapping[str, str]:
    """What the legend says of the colours."""
    return {KEPT: "kept", DROPPED: "dropped by this score", OTHERWISE: "dropped for another reason"}
