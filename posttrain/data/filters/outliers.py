"""How unlike the others of its source a clip is: the largest robust z-score over what was measured.

z = 0.6745 (x - median) / MAD; where more than half of the values are equal, MAD is 0 and the mean absolute deviation
stands in (Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993). Sharpness and motion are compared by their
logarithm: twice as much is as far as half as much.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from posttrain.config.filters import OutlierFilter
from posttrain.data.curation import Fault, Judged
from posttrain.data.filters.base import Candidate, Faults, by_place

SCORES = ("brightness", "contrast", "sharpness", "motion", "shake")
_BY_RATIO = {"sharpness": 1.0, "motion": 1e-4}  # score -> what counts as next to nothing of it
# Of fewer clips nobody can say what is usual.
MIN_SAMPLES = 8

Distances = dict[str, npt.NDArray[np.float64]]


def with_outlier_scores(judged: Sequence[Judged[Any]]) -> list[Judged[Any]]:
    """The samples of one source with the score `outlier`, where enough of them were measured."""
    distances = _distances(judged)
    if not distances:
        return list(judged)
    largest = np.max(np.abs(np.stack(list(distances.values()))), axis=0)
    return [
        replace(one, scores={**one.scores, "outlier": round(float(value), 3)})
        for one, value in zip(judged, largest, strict=True)
    ]


def outliers(candidates: Sequence[Candidate], config: OutlierFilter) -> Faults:
    """Clips with a score too far from the median of their source."""
    found: Faults = {}
    for positions in by_place(candidates).values():
        judged = [candidates[position].judged for position in positions]
        for name, distances in _distances(judged).items():
            values = [one.scores.get(name, np.nan) for one in judged]
            for at in np.flatnonzero(np.abs(distances) > config.max):
                far = float(distances[at])
                known = found.get(positions[at])
                if known is None or abs(far) > (known.value or 0.0):
                    found[positions[at]] = _fault(name, float(values[at]), float(np.nanmedian(values)), far, config.max)
    return found


def _fault(score: str, value: float, median: float, far: float, most: float) -> Fault:
    side = "above" if far > 0 else "below"
    reason = (
        f"outlier: {score} {value:.4g} is {abs(far):.1f} deviations {side} the median {median:.4g} of its source, "
        f"above {most:g}"
    )
    return Fault("outlier", reason, round(abs(far), 3), most)


def _distances(judged: Sequence[Judged[Any]]) -> Distances:
    """Score -> robust z of each sample, 0 where it was not measured; {} where too few were."""
    found: Distances = {}
    for name in SCORES:
        values = np.array([one.scores.get(name, np.nan) for one in judged])
        if name in _BY_RATIO:
            values = np.log(values + _BY_RATIO[name])
        if np.isfinite(values).sum() >= MIN_SAMPLES:
            found[name] = np.nan_to_num(_robust_z(values))
    return found


def _robust_z(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    deviations = values - np.nanmedian(values)
    spread = float(np.nanmedian(np.abs(deviations))) / 0.6745
    if spread < 1e-9:
        spread = float(np.nanmean(np.abs(deviations))) * 1.253314
    return np.asarray(deviations / spread if spread > 1e-9 else np.zeros_like(deviations))
