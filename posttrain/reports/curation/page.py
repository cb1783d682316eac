"""The page that `posttrain data` writes: one HTML file that shows what was kept, what was dropped, and why.

It holds its pictures and styles itself, runs no script, and refers to nothing outside (its content security policy
forbids both), so it may be mailed or kept with a run. All text from the data is escaped by the template engine.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from posttrain.data import ClipSpec, Judged, RowSpec, Sample
from posttrain.reports.curation import histogram
from posttrain.reports.curation.panels import Card, group_names
from posttrain.reports.curation.reasons import READING
from posttrain.reports.curation.summary import Curation
from posttrain.reports.curation.thumbnails import picture_key, thumbnails
from posttrain.reports.curation.words import MEANINGS, Meaning

_TEXT_LENGTH = 240
# Control characters are no text in HTML; U+FFFD shows that one was there.
_CONTROLS = dict.fromkeys([*(code for code in range(32) if code not in (9, 10)), *range(127, 160)], "�")


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
    pictures = thumbnails([card.judged.sample for card in _cards(curation)], spec, on_progress)
    page: str = (
        _environment()
        .get_template("page.html.jinja")
        .render(
            title=title,
            about=about,
            what="clips" if isinstance(spec, ClipSpec) else "rows",
            curation=curation,
            pictures=pictures,
            picture_key=picture_key,
            box=histogram,
            groups=group_names(),
            reading=READING,
        )
    )
    return page


def _cards(curation: Curation) -> Iterator[Card]:
    for panel in curation.panels:
        for side in panel.sides:
            yield from (*side.inside, *side.outside)
    for group in curation.kept_examples:
        yield from group
    for gallery in curation.galleries:
        for group in gallery.groups:
            yield from group


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
    if isinstance(value, Markup) or not isinstance(value, str | Path):
        return value
    return str(value).encode("utf-8", "backslashreplace").decode("utf-8").translate(_CONTROLS)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _percent(part: int, whole: int) -> str:
    if not whole:
        return "0 %"
    share = 100 * part / whole
    if share in (0, 100) or 10 <= share < 99:
        return f"{share:.0f} %"
    if share > 99.9:
        return "> 99.9 %"  # a few among many are not none
    return f"{share:.1f} %" if share >= 0.1 else "< 0.1 %"


def _brief(text: str, length: int = _TEXT_LENGTH) -> str:
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def _said(judged: Judged[Any]) -> str:
    """The caption of a clip, or the question and answer of a row."""
    sample = judged.sample
    if isinstance(sample, Sample):
        return _brief(sample.caption)
    question = sample.turns[-1][1] if sample.turns else ""
    return f"{_brief(question)} → {_brief(sample.answer, _TEXT_LENGTH // 2)}"


def _meaning(score: str) -> Meaning:
    return MEANINGS.get(score, Meaning(score, ""))
