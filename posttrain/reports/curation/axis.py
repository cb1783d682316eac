"""From scores to places on a drawing: which part of the axis is shown, where its bars begin and end, and its ticks.

Whole numbers get a bar each. Scores that span decades get a logarithmic axis, on which next to nothing, zero and below
stand in a bar of their own at the left. All others get equal steps. Bars end at the first threshold, so that none
stands on both sides of it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt

_BINS = 48
_MOST_WHOLE = 60  # numbers that get a bar each
# From this ratio of the 95th to the 5th percentile on, equal steps would put nearly all samples into one bar.
_DECADES_RATIO = 40.0
# A threshold farther from the samples than this share of their range would squeeze them together.
_FAR = 0.6
_ZERO_WIDTH = 18
_MOST_DECADES = 6  # of a logarithmic axis; less than that is rounding errors

Values = npt.NDArray[np.float64]
Side = Literal["min", "max"]


@dataclass(frozen=True)
class Tick:
    """A place on an axis with its label."""

    at: float
    label: str


class Axis:
    """The axis of all `values`, between `begin` and `end` on the drawing; see the module.

    Args:
        thresholds: what it should show besides, if that is near enough.
    """

    def __init__(self, values: Values, thresholds: Sequence[float], begin: float, end: float) -> None:
        positive = values[values > max(0.0, float(values.max()) / 10**_MOST_DECADES)]
        self.whole = bool(np.all(values == np.round(values))) and float(np.ptp(values)) < _MOST_WHOLE
        self.logarithmic = not self.whole and bool(len(positive)) and _spans_decades(positive)
        self.has_zero = self.logarithmic and len(positive) < len(values)
        self._least = float(positive.min()) if self.logarithmic else 0.0
        self._zero_at = begin
        self._begin, self._end = begin + (_ZERO_WIDTH if self.has_zero else 0), end
        shown = positive if self.logarithmic else values
        scaled = np.array([self._scale(float(shown.min())), self._scale(float(shown.max()))])
        near = [self._scale(value) for value in thresholds if self._is_near(value, *scaled)]
        self._edges = self._steps(min([scaled[0], *near]), max([scaled[1], *near]), near)

    def _is_near(self, value: float, low: float, high: float) -> bool:
        if self.logarithmic and value <= 0:
            return False
        reach = 1.0 if self.logarithmic else max(_FAR * (high - low), 0.5 * abs(high), 1.0 if self.whole else 0.0)
        return low - reach <= self._scale(value) <= high + reach

    def _steps(self, low: float, high: float, near: Sequence[float]) -> Values:
        if self.whole:
            return np.arange(math.floor(low) - 0.5, math.ceil(high) + 1.0)
        if low == high:
            low, high = low - (abs(low) or 1) * 0.5, high + (abs(high) or 1) * 0.5
        step = (high - low) / _BINS
        before = math.ceil((near[0] - low) / step - 1e-9) if near else 0
        first = near[0] - before * step if near else low
        edges = np.asarray(first + step * np.arange(math.ceil((high - first) / step - 1e-9) + 1), np.float64)
        if near:
            edges[before] = near[0]  # to the last digit: a score that equals the threshold is on its right side
        return edges

    def _scale(self, value: float) -> float:
        return float(np.log10(value)) if self.logarithmic else value

    def holds(self, value: float) -> bool:
        """Whether a score lies on the axis."""
        if self.logarithmic and value <= 0:
            return self.has_zero
        return bool(self._edges[0] - 1e-9 <= self._scale(value) <= self._edges[-1] + 1e-9)

    def threshold_x(self, value: float, side: Side) -> float:
        """Where a threshold's line stands: beside the bar of a whole number, which is kept."""
        return self.x(value + (0 if not self.whole else -0.5 if side == "min" else 0.5))

    def x(self, value: float) -> float:
        """Where a score lies, held inside the axis."""
        if self.logarithmic and value <= 0:
            return self._zero_at
        share = (self._scale(value) - self._edges[0]) / (self._edges[-1] - self._edges[0])
        return float(self._begin + min(max(share, 0.0), 1.0) * (self._end - self._begin))

    def count(self, values: Values) -> list[int]:
        """Samples in each bar."""
        shown = np.log10(values[values >= self._least]) if self.logarithmic else values
        # the last edge may fall short of the largest value by a rounding error
        counts: list[int] = np.histogram(np.clip(shown, self._edges[0], self._edges[-1]), self._edges)[0].tolist()
        return [len(values) - len(shown), *counts] if self.has_zero else counts

    def bars(self) -> list[tuple[float, float, float, float]]:
        """Each bar's (from, to) in scores and on the drawing."""
        scores = 10**self._edges if self.logarithmic else self._edges
        if self.whole:
            places = [self.x(float(score)) for score in scores]
            whole = [float(score) + 0.5 for score in scores[:-1]]
            return [(number, number, *place) for number, place in zip(whole, pairwise(places), strict=True)]
        pairs = [(low, high, self.x(low), self.x(high)) for low, high in pairwise(map(float, scores))]
        zero = (0.0, 0.0, self._zero_at, self._zero_at + _ZERO_WIDTH * 0.7)
        return [zero, *pairs] if self.has_zero else pairs

    def ticks(self) -> list[Tick]:
        """Round numbers along the axis."""
        low, high = float(self._edges[0]), float(self._edges[-1])
        numbers = _round_logarithmic(low, high) if self.logarithmic else round_numbers(low, high, 8)
        if self.whole:
            numbers = [number for number in numbers if number == round(number)]
        zero = [Tick(self._zero_at + _ZERO_WIDTH * 0.35, "0")] if self.has_zero else []
        return zero + [Tick(self.x(number), f"{number:.4g}") for number in numbers]


def round_numbers(low: float, high: float, most: int) -> list[float]:
    """At most about `most` multiples of 1, 2 or 5 times a power of ten between `low` and `high`."""
    rough = (high - low) / most
    if rough <= 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    return [index * step for index in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _spans_decades(positive: Values) -> bool:
    low, high = np.percentile(positive, [5, 95])
    return bool(high / low > _DECADES_RATIO)


def _round_logarithmic(low: float, high: float) -> list[float]:
    factors = (1, 2, 5) if high - low < 2.5 else (1, 3) if high - low < 4 else (1,)
    numbers = [f * 10.0**power for power in range(math.floor(low), math.ceil(high) + 1) for f in factors]
    return [number for number in numbers if low - 1e-9 <= math.log10(number) <= high + 1e-9]
