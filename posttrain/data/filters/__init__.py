"""Which samples are worth training on: pure functions of samples with scores, and the sections of the sweep file.

    scans --Candidate--> filter by filter, in the order of the table --Fault--> scans with `kept` and `dropped`

What looks at one sample (or at the others of its source as they are) is asked about every sample, so that all faults
of a sample are known. Duplicates and classes are looked for among what is left: nothing is dropped for the sake of a
sample that is dropped itself. A suite's own samples are measured as they are and only told from copies of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from posttrain.config import FilterConfig
from posttrain.config.filters import MEASURED
from posttrain.data.curation import Fault, Judged
from posttrain.data.filters.base import Candidate, FilterFunction
from posttrain.data.filters.captions import captions
from posttrain.data.filters.duplicates import duplicates
from posttrain.data.filters.limits import Threshold, limited, thresholds
from posttrain.data.filters.metadata import balance, where
from posttrain.data.filters.outliers import outliers, with_outlier_scores
from posttrain.data.sample import Dropped
from posttrain.data.sources import SourceScan

__all__ = ["Threshold", "apply_filters", "needs_measuring", "thresholds"]

# Type of filter -> its function.
FUNCTIONS: dict[str, FilterFunction] = {
    "duration": limited,
    "resolution": limited,
    "brightness": limited,
    "contrast": limited,
    "sharpness": limited,
    "cuts": limited,
    "motion": limited,
    "shake": limited,
    "caption": captions,
    "where": where,
    "outlier": outliers,
    "duplicate": duplicates,
    "balance": balance,
}
# Asked about samples without a fault alone, because they choose which of several stay.
_CHOOSE = ("duplicate", "balance")


def needs_measuring(filters: Sequence[FilterConfig]) -> bool:
    """Whether clips must be measured for these filters."""
    return any(config.type in MEASURED for config in filters)


def apply_filters(
    scans: Mapping[str, SourceScan[Any]], trained: Sequence[str], filters: Sequence[FilterConfig]
) -> dict[str, SourceScan[Any]]:
    """The scans with the faults that the filters find; what has one is dropped.

    Args:
        scans: by source, or `suite:<name>` for a suite's own.
        trained: the keys of `scans` that are trained on.
        filters: in the order in which they apply.

    Raises:
        DataError: a filter reads a column that no sample has.
    """
    scored = {place: replace(scan, judged=with_outlier_scores(scan.judged)) for place, scan in scans.items()}
    candidates = [
        Candidate(place, order, place in trained, judged)
        for order, (place, scan) in enumerate(scored.items())
        for judged in scan.judged
    ]
    faults: list[list[Fault]] = [[] for _ in candidates]
    for config in filters:
        asked = [at for at, candidate in enumerate(candidates) if _is_asked(config.type, candidate, faults[at])]
        for position, fault in FUNCTIONS[config.type]([candidates[at] for at in asked], config).items():
            faults[asked[position]].append(fault)
    judged: dict[str, list[Judged[Any]]] = {place: [] for place in scored}
    for candidate, found in zip(candidates, faults, strict=True):
        judged[candidate.place].append(replace(candidate.judged, faults=tuple(found)))
    return {place: _filtered(scan, judged[place]) for place, scan in scored.items()}


def _is_asked(name: str, candidate: Candidate, faults: Sequence[Fault]) -> bool:
    if not candidate.trained:
        return name == "duplicate"
    return name not in _CHOOSE or not faults


def _filtered(scan: SourceScan[Any], judged: list[Judged[Any]]) -> SourceScan[Any]:
    dropped: list[Dropped] = [entry.to_dropped() for entry in judged if not entry.kept]
    return replace(
        scan,
        judged=judged,
        kept=[entry.sample for entry in judged if entry.kept],
        dropped=[*scan.dropped, *dropped],
    )
