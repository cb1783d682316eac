"""The page that `posttrain data` writes: one HTML file that shows what was kept, what was dropped, and why.

It holds its pictures and styles itself, runs no script, and refers to nothing outside (its content security policy
forbids both), so it may be mailed or kept with a run. All text from the data is escaped by the template engine.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from posttrain.data import ClipSpec, Dataset, Dropped, Judged, Row, RowSpec, Sample
from posttrain.reports.curation import histogram
from posttrain.reports.curation.columns import Column, describe_columns, shorten
from posttrain.reports.curation.gallery import Gallery, galleries
from posttrain.reports.curation.panels import Panel, Threshold, group_names, panels
from posttrain.reports.curation.reasons import READING, Reason, count_reasons, dropped_by
from posttrain.reports.curation.thumbnails import picture_key, thumbnails
from posttrain.reports.curation.words import MEANINGS, Meaning

# Bounds of what the page lists; counts are always complete, and the manifest holds every sample.
_LISTED_PER_FILTER = 100
_TEXT_LENGTH = 240
# Control characters are no text in HTML; U+FFFD shows that one was there.
_CONTROLS = dict.fromkeys([*(code for code in range(32) if code not in (9, 10)), *range(127, 160)], "�")


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
class DroppedList:
    """The dropped samples of one filter: the first of them, and how many there are."""

    filter: str
    count: int
    entries: list[Dropped]


@dataclass(frozen=True)
class Curation:
    """Everything that the page, the printed table and `--json` say; made by `summarise_curation`."""

    sources: list[SourceLine]
    reasons: list[Reason]
    panels: list[Panel]
    galleries: list[Gallery]
    dropped: list[DroppedList]
    columns: list[Column]
    warnings: list[str]


def summarise_curation(dataset: Dataset[Any], in_force: Sequence[Threshold], standard: Sequence[Threshold]) -> Curation:
    """Counts and picks; reads no file."""
    judged = [one for scan in dataset.scans.values() for one in scan.judged]
    metadata = ((one.sample.source, one.sample.metadata) for one in judged)
    found = panels(judged, in_force, standard)
    shown = {side.threshold.filter for panel in found for side in panel.sides if side.in_force}
    return Curation(
        sources=_sources(dataset),
        reasons=count_reasons(dataset),
        panels=found,
        galleries=galleries(judged, shown),
        dropped=_dropped_lists(dataset),
        columns=describe_columns(metadata),
        warnings=list(dataset.warnings),
    )


def build_page(
    curation: Curation,
    spec: ClipSpec | RowSpec,
    *,
    title: str,
    about: Sequence[str],
    on_progress: Callable[[int, int], None] | None = None,
) -> str:
    """The page as text; reads the samples that it shows.

    Args:
        spec: how the model reads data.
        title: the sweep's name.
        about: lines below the title: the sweep file, what the model reads, which filters are in force.
        on_progress: called with the pictures done and in all.
    """
    shown = [card.judged.sample for card in _cards(curation)]
    pictures = thumbnails(shown, spec, on_progress)
    total = sum(source.found for source in curation.sources)
    kept = sum(source.kept for source in curation.sources)
    return (
        _environment()
        .get_template("page.html.jinja")
        .render(
            title=title,
            about=about,
            what="clips" if isinstance(spec, ClipSpec) else "rows",
            curation=curation,
            total=total,
            kept=kept,
            unreadable=sum(reason.count for reason in curation.reasons if reason.filter == READING),
            pictures=pictures,
            picture_key=picture_key,
            box=histogram,
            groups=group_names(),
            reading=READING,
        )
    )


def _cards(curation: Curation) -> Iterable[Any]:
    for panel in curation.panels:
        for side in panel.sides:
            yield from (*side.inside, *side.outside)
    for gallery in curation.galleries:
        for group in gallery.groups:
            yield from group


def _sources(dataset: Dataset[Any]) -> list[SourceLine]:
    lines = []
    for place, scan in dataset.scans.items():
        kept, train = len(scan.kept), len(dataset.train.get(place, []))
        counts = (scan.found, kept, train, kept - train, len(scan.dropped))
        lines.append(SourceLine(place, str(scan.root), *counts, dict(scan.notes), dict(scan.ignored)))
    return lines


def _dropped_lists(dataset: Dataset[Any]) -> list[DroppedList]:
    lists: dict[str, DroppedList] = {}
    for _, blamed, entry in dropped_by(dataset):
        before = lists.setdefault(blamed, DroppedList(blamed, 0, []))
        if before.count < _LISTED_PER_FILTER:
            before.entries.append(entry)
        lists[blamed] = replace(before, count=before.count + 1)
    return sorted(lists.values(), key=lambda one: (one.filter != READING, -one.count))


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
    )
    environment.filters.update(number=_number, percent=_percent, said=_said, brief=_brief, meaning=_meaning)
    return environment


def _printable(value: Any) -> Any:
    """Text that UTF-8 can hold and HTML can show; what the template itself says is left alone."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return value.encode("utf-8", "backslashreplace").decode("utf-8").translate(_CONTROLS)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _percent(part: int, whole: int) -> str:
    if not whole:
        return "0 %"
    share = 100 * part / whole
    return f"{share:.0f} %" if share >= 10 or share == 0 else f"{share:.1f} %" if share >= 0.1 else "< 0.1 %"


def _brief(text: str) -> str:
    return shorten(text, _TEXT_LENGTH)


def _said(judged: Judged[Any]) -> str:
    """The caption of a clip, or the question and answer of a row."""
    sample: Sample | Row = judged.sample
    if isinstance(sample, Sample):
        return shorten(sample.caption, _TEXT_LENGTH)
    question = sample.turns[-1][1] if sample.turns else ""
    return f"{shorten(question, _TEXT_LENGTH)} → {shorten(sample.answer, _TEXT_LENGTH // 2)}"


def _meaning(score: str) -> Meaning:
    return MEANINGS.get(score, Meaning(score, ""))
