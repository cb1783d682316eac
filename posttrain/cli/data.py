"""`posttrain data`: what curation finds, keeps and drops, as a table, as a page, and as the record that a sweep writes.

Everything is measured, whatever the file filters by, so that thresholds can be chosen by looking. What was read is
remembered: after an interruption, or when only thresholds have changed, little is read again.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from posttrain.cli.progress import ReadingProgress
    from posttrain.config import LoadedSweep
    from posttrain.data import ClipSpec, Dataset, RowSpec
    from posttrain.errors import PosttrainError
    from posttrain.paths import DataPaths
    from posttrain.reports.curation.summary import Curation


def data(
    file: Annotated[Path, typer.Argument(help="The sweep file.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="section.key=value, any number of them.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="A folder for manifest, summary and page instead of runs/<name>/data, or page.html alone."),
    ] = None,
    no_html: Annotated[bool, typer.Option("--no-html", help="Make no page: numbers alone.")] = False,
    runs: Annotated[Path, typer.Option(help="Where run directories are kept.")] = Path("runs"),
) -> None:
    """Read and measure all data; show what is kept and dropped, and why, as a table and as a page with pictures."""
    from rich.console import Console

    from posttrain.cli.progress import ReadingProgress
    from posttrain.cli.sweep_file import open_sweep
    from posttrain.paths import DataPaths

    loaded = open_sweep(file, overrides)
    alone = out is not None and out.suffix.lower() in {".html", ".htm"}
    paths = DataPaths(runs / loaded.config.name / "data" if out is None else out)
    page = out if out is not None and alone else paths.curation_html
    with ReadingProgress() as progress:
        spec, dataset, fault = _read(loaded, progress)
        curation = _summarise(loaded, dataset, spec)
        html = None if no_html else _page(loaded, file, spec, curation, progress)
    written = {} if alone or fault else _write_record(dataset, paths)
    if html is not None:
        from posttrain.paths import write_atomic

        write_atomic(page, html)
        written["page"] = str(page)
    if as_json:
        typer.echo(json.dumps(curation.to_dict() | {"files": written}, indent=2, ensure_ascii=False))
    else:
        _show(curation, written, Console(highlight=False, soft_wrap=True))
    if fault is not None:
        raise fault


def _read(
    loaded: "LoadedSweep", progress: "ReadingProgress"
) -> "tuple[ClipSpec | RowSpec, Dataset[Any], PosttrainError | None]":
    """All data, measured; with an error where it could be read, but nothing could be trained on it."""
    from posttrain.cli.inspection import all_that_fails, placed
    from posttrain.data import Dataset, curate, divide
    from posttrain.errors import ConfigError, DataError, EnvironmentFault, ModelError
    from posttrain.models.reading import reading_of

    config = loaded.config
    try:
        _, spec = reading_of(config, loaded.base_dir)
    except ModelError as error:
        raise ConfigError([placed(loaded, str(error), "model.checkpoint")]) from error
    try:
        scans = curate(config, spec, loaded.base_dir, progress, measure="all")
    except (DataError, EnvironmentFault) as error:
        raise all_that_fails(loaded, spec, error) from error
    try:
        return spec, divide(config, scans, spec), None
    except DataError as error:
        fault = ConfigError([placed(loaded, str(error), "data.sources")])
        return spec, Dataset({}, {}, {}, scans, [str(error)]), fault


def _summarise(loaded: "LoadedSweep", dataset: "Dataset[Any]", spec: "ClipSpec | RowSpec") -> "Curation":
    from posttrain.config import filters_in_force
    from posttrain.data import RowSpec
    from posttrain.reports.curation.summary import summarise_curation

    rows = isinstance(spec, RowSpec)
    return summarise_curation(dataset, filters_in_force(loaded.config.data.filters, rows=rows), rows=rows)


def _page(
    loaded: "LoadedSweep", file: Path, spec: "ClipSpec | RowSpec", curation: "Curation", progress: "ReadingProgress"
) -> str:
    from posttrain.cli.inspection import reads
    from posttrain.reports.curation.page import build_page

    about = [f"{file}: {loaded.config.model.checkpoint} reads {reads(spec)}", f"Filters: {_filters(curation)}"]
    return build_page(
        curation,
        spec,
        title=loaded.config.name,
        about=about,
        on_progress=lambda done, total: progress("pictures of the page", done, total),
    )


def _filters(curation: "Curation") -> str:
    if not curation.filters:
        return "none in the file, so nothing that can be read is dropped"
    return ", ".join(config.type for config in curation.filters)


def _write_record(dataset: "Dataset[Any]", paths: "DataPaths") -> dict[str, str]:
    """Manifest and summary, unless they are those of trials that read other samples."""
    from posttrain.data import refuse_changes, write_record
    from posttrain.paths import RunPaths

    run = RunPaths(paths.root.absolute().parent)
    if run.manifest_jsonl == paths.root.absolute() / paths.manifest_jsonl.name:
        remedy = "its record is left as it is: look at the data of now with `--out FOLDER`, or give it another `name`"
        refuse_changes(dataset, run, remedy)
    write_record(dataset, paths)
    return {"manifest": str(paths.manifest_jsonl), "summary": str(paths.summary_json)}


def _show(curation: "Curation", written: dict[str, str], console: Any) -> None:
    console.print(
        f"{curation.found} found, {curation.kept} kept, "
        f"{curation.found - curation.kept - curation.unread} dropped by filters, {curation.unread} not readable or not "
        "complete"
    )
    console.print(f"filters: {_filters(curation)}")
    console.print(_sources_table(curation))
    if curation.reasons:
        console.print(_reasons_table(curation))
    if curation.columns:
        console.print(_columns_table(curation))
    console.print(_scores_table(curation))
    for gallery in curation.galleries:
        if not gallery.in_force:
            console.print(f"{gallery.count} would be dropped by the standard filter {gallery.filter}, not in force")
    for warning in curation.warnings:
        console.print(f"warning: {warning}", markup=False)
    for name, path in written.items():
        console.print(f"{name}: {path}", markup=False)


def _sources_table(curation: "Curation") -> "Table":
    table = _table("source", "found", "kept", "to train on", "held out", "dropped", "besides")
    for line in curation.sources:
        besides = [f"{count} x {note}" for note, count in line.notes.items()]
        besides += [f"{count} x {note}, ignored" for note, count in line.ignored.items()]
        counts = (line.found, line.kept, line.train, line.held_out, line.dropped)
        _row(table, line.name, *counts, "; ".join(besides))
    return table


def _reasons_table(curation: "Curation") -> "Table":
    table = _table("source", "filter", "reason", "dropped", "for example")
    for reason in curation.reasons:
        example = f"{reason.example.id}: {reason.example.reason}"
        _row(table, reason.source, reason.filter, reason.kind, reason.count, example)
    return table


def _columns_table(curation: "Curation") -> "Table":
    table = _table("column", "have it", "kind", "values")
    for column in curation.columns:
        facts = column.facts
        values = f"{facts['range'][0]:g} to {facts['range'][1]:g}" if "range" in facts else ""
        if facts.get("distinct"):
            values = f"{facts['distinct']} distinct: {', '.join(f'{v} ({n})' for v, n in facts['values'].items())}"
        _row(table, column.name, f"{100 * facts['share']:.4g} %", column.kind, values)
    return table


def _scores_table(curation: "Curation") -> "Table":
    table = _table("score", "source", "5 %", "median", "95 %", "thresholds")
    for panel in curation.panels:
        for index, (source, spread) in enumerate(panel.sources):
            limits = [] if index else [side.told for side in panel.sides]
            _row(table, "" if index else panel.score, source, *(f"{value:.4g}" for value in spread), "; ".join(limits))
    return table


def _table(*columns: str) -> "Table":
    from rich.table import Table

    return Table(*columns, box=None, pad_edge=False)


def _row(table: "Table", *cells: Any) -> None:
    from rich.text import Text

    table.add_row(*(Text(str(cell)) for cell in cells))
