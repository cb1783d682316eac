"""A histogram of one score as shapes: bars of what was kept and dropped, ticks, and a line for each threshold.

Everything is in the units of the drawing, a box of WIDTH x HEIGHT whose plot lies inside the margins; the page only
has to write it down. Scores that span decades get a logarithmic axis; on it values of zero or below stand in a bar of
their own at the left.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

WIDTH, HEIGHT = 760, 190
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 26, 24
_BINS = 48
# From this ratio of the 99th to the 1st percentile on, equal steps would put nearly all samples into one bar.
_DECADES_RATIO = 40.0
_LEAST_BAR = 1.5  # a single sample beside thousands must be seen
_WIDEST_LABEL = 200  # a label that begins nearer to the right edge is written to the left of its line

Values = npt.NDArray[np.float64]


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
class Tick:
    """A place on an axis with its label."""

    at: float
    label: str


@dataclass(frozen=True)
class Line:
    """A threshold: `label` beside a vertical line at `x`, dashed where it is not in force."""

    x: float
    label: str
    in_force: bool
    to_left: bool
    row: int


@dataclass(frozen=True)
class Histogram:
    """What to draw; see the module."""

    bars: list[Bar]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    lines: list[Line]
    logarithmic: bool


class _Axis:
    """Score -> x. `edges` are the bars' limits in scores; the first bar of a logarithmic axis is zero and below."""

    def __init__(self, values: Values) -> None:
        positive = values[values > 0]
        self.logarithmic = bool(len(positive)) and _spans_decades(positive)
        shown = positive if self.logarithmic else values
        low, high = float(shown.min()), float(shown.max())
        if low == high:
            low, high = low - (abs(low) or 1) * 0.5, high + (abs(high) or 1) * 0.5
        self.low, self.high = self._scale(low), self._scale(high)
        self.has_zero = self.logarithmic and len(positive) < len(values)
        self._begin = LEFT + (18 if self.has_zero else 0)
        self.edges = np.linspace(self.low, self.high, _BINS + 1)

    def _scale(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value

    def unscale(self, value: float) -> float:
        return float(10**value) if self.logarithmic else float(value)

    def x(self, value: float) -> float:
        """Where a score lies, held inside the plot."""
        if self.logarithmic and value <= 0:
            return LEFT + 6 if self.has_zero else LEFT
        share = (self._scale(value) - self.low) / (self.high - self.low)
        return self._begin + min(max(share, 0.0), 1.0) * (WIDTH - RIGHT - self._begin)

    def count(self, values: Values) -> list[int]:
        """Samples in each bar; with a bar for zero in front where there is one."""
        shown = values[values > 0] if self.logarithmic else values
        counts = np.histogram(np.log10(shown) if self.logarithmic else shown, self.edges)[0].tolist()
        return [len(values) - len(shown), *counts] if self.has_zero else counts

    def limits(self) -> list[tuple[float, float]]:
        """From and to of each bar, in scores."""
        scores = [self.unscale(edge) for edge in self.edges]
        pairs = list(pairwise(scores))
        return [(0.0, 0.0), *pairs] if self.has_zero else pairs

    def ticks(self) -> list[Tick]:
        """Round numbers along the axis."""
        low, high = self.low, self.high
        numbers = _round_logarithmic(low, high) if self.logarithmic else round_numbers(low, high, 8)
        zero = [Tick(LEFT + 6, "0")] if self.has_zero else []
        return zero + [Tick(self.x(number), f"{number:.4g}") for number in numbers]


def draw(groups: Mapping[str, Sequence[float]], thresholds: Sequence[tuple[float, str, bool]]) -> Histogram:
    """The histogram of all groups stacked in their order; thresholds are (score, label, whether it is in force)."""
    arrays = {name: np.asarray(values, np.float64) for name, values in groups.items()}
    everything = np.concatenate([*arrays.values(), np.array([value for value, _, _ in thresholds], np.float64)])
    axis = _Axis(everything)
    counts = {name: axis.count(values) for name, values in arrays.items()}
    highest = max(map(sum, zip(*counts.values(), strict=True)))
    y_ticks = [number for number in round_numbers(0, highest, 4) if number == int(number)]
    top = max(highest, *y_ticks, 1)
    lines = [
        Line(axis.x(value), label, in_force, axis.x(value) > WIDTH - RIGHT - _WIDEST_LABEL, row)
        for row, (value, label, in_force) in enumerate(sorted(thresholds))
    ]
    ticks = [Tick(_y(number, top), f"{number:g}") for number in y_ticks]
    return Histogram(_bars(axis, counts, top), axis.ticks(), ticks, lines, axis.logarithmic)


def _bars(axis: _Axis, counts: Mapping[str, list[int]], top: float) -> list[Bar]:
    bars = []
    for index, (low, high) in enumerate(axis.limits()):
        begin, end = (LEFT, LEFT + 12) if low == high else (axis.x(low), axis.x(high))
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


def round_numbers(low: float, high: float, most: int) -> list[float]:
    """At most about `most` multiples of 1, 2 or 5 times a power of ten between `low` and `high`."""
    rough = (high - low) / most
    if rough <= 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    return [index * step for index in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _spans_decades(positive: Values) -> bool:
    low, high = np.percentile(positive, [1, 99])
    return bool(high / low > _DECADES_RATIO)


def _round_logarithmic(low: float, high: float) -> list[float]:
    factors = (1, 2, 5) if high - low < 2.5 else (1, 3) if high - low < 4 else (1,)
    numbers = [f * 10.0**power for power in range(math.floor(low), math.ceil(high) + 1) for f in factors]
    return [number for number in numbers if low - 1e-9 <= math.log10(number) <= high + 1e-9]
