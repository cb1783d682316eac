"""`posttrain check`: is the file right, is the checkpoint there, and is the data usable? Runs nothing.

The file itself comes first, with all its mistakes at once, paths that lead nowhere among them. Only a file that holds
is then held against the disk: the checkpoint's own description, and every clip of every source.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from posttrain.errors import Issue, PosttrainError

if TYPE_CHECKING:
    from rich.table import Table

    from posttrain.cli.inspection import Inspection
    from posttrain.config import LoadedSweep
    from posttrain.data import Dataset


def check(
    file: Annotated[Path, typer.Argument(help="The sweep file.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="section.key=value, any number of them.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Check a sweep file, its checkpoint and its data; show every mistake with file, line and remedy."""
    from rich.console import Console

    from posttrain.cli.inspection import inspect
    from posttrain.cli.progress import ReadingProgress
    from posttrain.cli.space_table import space_table
    from posttrain.cli.sweep_file import open_sweep
    from posttrain.cli.warnings import warnings_of

    try:
        loaded = open_sweep(file, overrides)
        with ReadingProgress() as progress:
            inspection = inspect(loaded, progress)
    except PosttrainError as error:
        if as_json:
            issues = getattr(error, "issues", None) or [Issue(where="", message=str(error))]
            typer.echo(_document(issues, []))
            raise typer.Exit(error.exit_code) from error
        raise
    warnings = warnings_of(loaded, inspection)
    if as_json:
        typer.echo(_document([], warnings))
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"[green]OK[/]: {_headline(loaded, inspection)}")
    console.print(_sources_table(loaded, inspection.dataset))
    console.print(space_table(loaded))
    for warning in warnings:
        console.print(f"warning: {warning}", markup=False)


def _document(errors: list[Issue], warnings: list[Issue]) -> str:
    shown = [[issue.to_dict() for issue in issues] for issues in (errors, warnings)]
    return json.dumps({"ok": not errors, "errors": shown[0], "warnings": shown[1]}, indent=2, ensure_ascii=False)


def _headline(loaded: "LoadedSweep", inspection: "Inspection") -> str:
    from posttrain.cli.inspection import reads

    config = loaded.config
    search, training = config.search, config.training
    space = loaded.search_space_file
    return (
        f"{search.trials} trials of {training.steps} steps, batch {training.batch_size}, learning rate "
        f"{training.learning_rate:g}: {config.strategy.type} on "
        f"{config.model.checkpoint} ({inspection.info.generation.name}), {reads(inspection.spec)}; "
        f"objective {search.objective.metric} ({search.objective.mode}), {search.sampler} and "
        f"{search.scheduler.type}; gate {'off' if config.overfit is None else 'on'}; search space from "
        f"{space if space else 'the file'}"
    )


def _sources_table(loaded: "LoadedSweep", dataset: "Dataset[Any]") -> "Table":
    from rich.table import Table

    table = Table("source", "path", "found", "train", "held out", "dropped", box=None, pad_edge=False)
    for name, source in loaded.config.data.sources.items():
        scan = dataset.scans[name]
        numbers = (scan.found, len(dataset.train[name]), len(dataset.held_out[name]), len(scan.dropped))
        table.add_row(name, source.path, *map(str, numbers))
    return table
