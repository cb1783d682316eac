"""Filters that hold one score of one sample against a threshold."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from posttrain.config import FilterConfig
from posttrain.data.curation import Fault
from posttrain.data.filters.base import Candidate, Faults, above, below

Side = Literal["min", "max"]


@dataclass(frozen=True)
class Limit:
    """A threshold that a filter may have: its key in the sweep file, the score it bounds, the kind of its reason."""

    key: str
    score: str
    side: Side
    kind: str


# Filter -> its limits, in the order in which they object.
LIMITS: dict[str, tuple[Limit, ...]] = {
    "duration": (
        Limit("min_s", "duration_s", "min", "file too short"),
        Limit("max_s", "duration_s", "max", "file too long"),
        Limit("min_frames", "frames", "min", "too few frames"),
    ),
    "resolution": (
        Limit("min_height", "height", "min", "picture too small"),
        Limit("min_width", "width", "min", "picture too small"),
    ),
    "brightness": (
        Limit("min", "brightness", "min", "too dark"),
        Limit("max", "brightness", "max", "too bright"),
    ),
    "contrast": (Limit("min", "contrast", "min", "no contrast"),),
    "sharpness": (Limit("min", "sharpness", "min", "blurred"),),
    "cuts": (Limit("max", "cuts", "max", "cut"),),
    "motion": (
        Limit("min", "motion", "min", "still"),
        Limit("max", "motion", "max", "too much motion"),
    ),
    "shake": (Limit("max", "shake", "max", "shaking"),),
    "caption": (
        Limit("min_words", "words", "min", "caption too short"),
        Limit("max_words", "words", "max", "caption too long"),
    ),
    "outlier": (Limit("max", "outlier", "max", "outlier"),),
}


@dataclass(frozen=True)
class Threshold:
    """A limit in force: samples whose `score` is below (`min`) or above (`max`) `value` are dropped by `filter`."""

    filter: str
    score: str
    side: Side
    value: float

    def drops(self, score: float) -> bool:
        """Whether a sample of this score is dropped."""
        return is_beyond(score, self.side, self.value)


def thresholds(filters: Sequence[FilterConfig]) -> list[Threshold]:
    """The limits that filters put on scores, in the order in which they apply."""
    return [
        Threshold(config.type, limit.score, limit.side, float(value))
        for config in filters
        for limit in LIMITS.get(config.type, ())
        if (value := getattr(config, limit.key)) is not None
    ]


def limited(candidates: Sequence[Candidate], config: Any) -> Faults:
    """The first limit that each sample breaks; a score that a sample does not have breaks none."""
    found: Faults = {}
    for position, candidate in enumerate(candidates):
        faults = [_fault(candidate, config, limit) for limit in LIMITS[config.type]]
        first = next((fault for fault in faults if fault is not None), None)
        if first is not None:
            found[position] = first
    return found


def _fault(candidate: Candidate, config: Any, limit: Limit) -> Fault | None:
    value, threshold = candidate.judged.scores.get(limit.score), getattr(config, limit.key)
    if value is None or threshold is None:
        return None
    kind = limit.kind.replace("caption", "answer") if candidate.is_row else limit.kind
    what = limit.score.removesuffix("_s")
    if not is_beyond(value, limit.side, threshold):
        return None
    return (below if limit.side == "min" else above)(config.type, kind, what, value, threshold)


def is_beyond(score: float, side: Side, value: float) -> bool:
    """Whether a limit drops a sample of this score; a score that equals it is kept."""
    return score < value if side == "min" else score > value
