"""A histogram of one score as shapes: bars of what was kept and dropped, ticks, and a line for each threshold.

Everything is in the units of the drawing, a box of WIDTH x HEIGHT whose plot lies inside the margins; the page only
has to write it down.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from posttrain.reports.curation.axis import Axis, Side, Tick, round_numbers

WIDTH, HEIGHT = 760, 190
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 26, 24
_LEAST_BAR = 1.5  # a single sample beside thousands must be seen
_WIDEST_LABEL = 200  # a label that begins nearer to the right edge is written to the left of its line


@dataclass(frozen=True)
class Mark:
    """A threshold to draw."""

    value: float
    side: Side
    label: str
    in_force: bool


@dataclass(frozen=True)
class Bar:
    """A stack's part: `group` samples whose score is from `low` up to `high`."""

    group: str
    count: int
    low: float
    high: float
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Line:
    """A threshold: `label` beside a vertical line at `x`, dashed where it is not in force.

    `beyond` means that it lies so far from all samples that it stands at the axis' end, with an arrow.
    """

    x: float
    label: str
    in_force: bool
    to_left: bool
    row: int
    beyond: bool


@dataclass(frozen=True)
class Histogram:
    """What to draw; see the module."""

    bars: list[Bar]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    lines: list[Line]
    logarithmic: bool


def draw(groups: Mapping[str, Sequence[float]], marks: Sequence[Mark]) -> Histogram:
    """The histogram of all groups, stacked in their order; its lines are in the order of `marks`."""
    arrays = {name: np.asarray(values, np.float64) for name, values in groups.items()}
    everything = np.concatenate(list(arrays.values()))
    axis = Axis(everything, [mark.value for mark in marks], LEFT, WIDTH - RIGHT)
    counts = {name: axis.count(values) for name, values in arrays.items()}
    highest = max(map(sum, zip(*counts.values(), strict=True)))
    y_ticks = [number for number in round_numbers(0, highest, 4) if number == int(number)]
    top = max(highest, *y_ticks, 1)
    lines = [_line(axis, row, mark) for row, mark in enumerate(marks)]
    ticks = [Tick(_y(number, top), f"{number:g}") for number in y_ticks]
    return Histogram(_bars(axis, counts, top), axis.ticks(), ticks, lines, axis.logarithmic)


def _line(axis: Axis, row: int, mark: Mark) -> Line:
    x, beyond = axis.threshold_x(mark.value, mark.side), not axis.holds(mark.value)
    to_left = x > WIDTH - RIGHT - _WIDEST_LABEL
    arrow = "" if not beyond else " →" if to_left else " ←"
    return Line(x, mark.label + arrow, mark.in_force, to_left, row, beyond)


def _bars(axis: Axis, counts: Mapping[str, list[int]], top: float) -> list[Bar]:
    bars = []
    for index, (low, high, begin, end) in enumerate(axis.bars()):
        base = float(HEIGHT - BOTTOM)
        for group, per_bar in counts.items():
            count = per_bar[index]
            if count:
                height = max(_y(0, top) - _y(count, top), _LEAST_BAR)
                base -= height
                bars.append(Bar(group, count, low, high, begin + 0.5, base, max(end - begin - 1, 1), height))
    return bars


def _y(count: float, top: float) -> float:
    return HEIGHT - BOTTOM - count / top * (HEIGHT - BOTTOM - TOP)
