"""What curation found, as numbers and picked examples; the page, the printed table and `--json` show one of these."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from posttrain.config import FilterConfig, StandardFilters, filters_in_force
from posttrain.data import Dataset, Dropped, Judged, column_facts
from posttrain.data.filters import apply_filters, thresholds
from posttrain.data.prepare import SUITE_PREFIX
from posttrain.reports.curation.gallery import Gallery, galleries, kept_examples
from posttrain.reports.curation.panels import Card, Panel, panels, scores_to_dict
from posttrain.reports.curation.reasons import READING, Reason, count_reasons, dropped_by

# Dropped samples that the page lists per filter; counts are always complete, and the manifest holds every sample.
_LISTED_PER_FILTER = 100


@dataclass(frozen=True)
class SourceLine:
    """The counts of one source: found = kept + dropped, kept = train + held_out."""

    name: str
    path: str
    found: int
    kept: int
    train: int
    held_out: int
    dropped: int
    notes: dict[str, int]
    ignored: dict[str, int]


@dataclass(frozen=True)
class Column:
    """A metadata column: `facts` as `column_facts` has them over all sources, and the share of each that has it."""

    name: str
    facts: dict[str, Any]
    shares: dict[str, float]

    @property
    def kind(self) -> str:
        """What its values are."""
        if "range" in self.facts:
            return "number"
        return "text" if self.facts["distinct"] else "list or mapping"


@dataclass(frozen=True)
class DroppedList:
    """The dropped samples of one filter: the first of them, and how many there are."""

    filter: str
    count: int
    entries: list[Dropped]


@dataclass(frozen=True)
class Curation:
    """Everything there is to say; made by `summarise_curation`."""

    sources: list[SourceLine]
    reasons: list[Reason]
    panels: list[Panel]
    galleries: list[Gallery]
    kept_examples: list[list[Card]]
    dropped: list[DroppedList]
    columns: list[Column]
    filters: tuple[FilterConfig, ...]
    warnings: list[str]

    @property
    def found(self) -> int:
        """Samples of all sources."""
        return sum(source.found for source in self.sources)

    @property
    def kept(self) -> int:
        """Samples that no filter drops."""
        return sum(source.kept for source in self.sources)

    @property
    def unread(self) -> int:
        """Samples that could not be read, or are not complete."""
        return sum(reason.count for reason in self.reasons if reason.filter == READING)

    def to_dict(self) -> dict[str, Any]:
        """The shape of `posttrain data --json`."""
        return {
            "sources": {source.name: asdict(source) for source in self.sources},
            "filters": [config.model_dump(mode="json", exclude_none=True) for config in self.filters],
            "reasons": [reason.to_dict() for reason in self.reasons],
            "scores": {panel.score: scores_to_dict(panel) for panel in self.panels},
            "metadata": {column.name: column.facts | {"shares": column.shares} for column in self.columns},
            "would_be_dropped": {gallery.filter: gallery.count for gallery in self.galleries if not gallery.in_force},
            "warnings": self.warnings,
        }


def summarise_curation(dataset: Dataset[Any], filters: Sequence[FilterConfig], *, rows: bool) -> Curation:
    """Counts and picks; reads no file.

    Args:
        dataset: all of it measured.
        filters: those in force, in their order; what the standard ones besides would do is told too.
        rows: whether the samples are rows, which have a standard list of their own.
    """
    judged = [one for scan in dataset.scans.values() for one in scan.judged]
    in_force = thresholds(filters)
    used = {config.type for config in filters}
    standard = filters_in_force((StandardFilters(type="standard"),), rows=rows)
    others = tuple(config for config in standard if config.type not in used)
    return Curation(
        sources=_sources(dataset),
        reasons=count_reasons(dataset),
        panels=panels(judged, in_force, thresholds(others)),
        galleries=galleries(judged, in_force, _proposed(dataset, others)),
        kept_examples=kept_examples(dataset.scans),
        dropped=_dropped_lists(dataset),
        columns=_columns(dataset),
        filters=tuple(filters),
        warnings=list(dataset.warnings),
    )


def _sources(dataset: Dataset[Any]) -> list[SourceLine]:
    lines = []
    for place, scan in dataset.scans.items():
        kept, train = len(scan.kept), len(dataset.train.get(place, []))
        counts = (scan.found, kept, train, kept - train, len(scan.dropped))
        lines.append(SourceLine(place, str(scan.root), *counts, dict(scan.notes), dict(scan.ignored)))
    return lines


def _proposed(dataset: Dataset[Any], others: Sequence[FilterConfig]) -> list[Judged[Any]]:
    """The kept samples, with the faults that other filters would find among them."""
    left = {
        place: replace(scan, judged=[one for one in scan.judged if one.kept], dropped=[])
        for place, scan in dataset.scans.items()
    }
    trained = [place for place in left if not place.startswith(SUITE_PREFIX)]
    return [one for scan in apply_filters(left, trained, others).values() for one in scan.judged]


def _columns(dataset: Dataset[Any]) -> list[Column]:
    samples = {place: [one.sample for one in scan.judged] for place, scan in dataset.scans.items()}
    by_source = {place: column_facts(found) for place, found in samples.items()}
    everything = column_facts(sample for found in samples.values() for sample in found)
    return [
        Column(name, facts, {place: each[name]["share"] for place, each in by_source.items() if name in each})
        for name, facts in everything.items()
    ]


def _dropped_lists(dataset: Dataset[Any]) -> list[DroppedList]:
    lists: dict[str, DroppedList] = {}
    for _, blamed, entry in dropped_by(dataset):
        before = lists.setdefault(blamed, DroppedList(blamed, 0, []))
        if before.count < _LISTED_PER_FILTER:
            before.entries.append(entry)
        lists[blamed] = replace(before, count=before.count + 1)
    return sorted(lists.values(), key=lambda one: (one.filter != READING, -one.count))
