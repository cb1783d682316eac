"""`posttrain export`: what a trial learned, in the format that plain diffusers loads."""

from pathlib import Path
from typing import Annotated

import typer


def export(
    run: Annotated[Path, typer.Argument(help="A run directory, runs/<name>.")],
    out: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    trial: Annotated[str, typer.Option(help="A trial's id, or `best`.")] = "best",
    metric: Annotated[
        str | None, typer.Option(help="Take the checkpoint that is best in this metric; else in the objective.")
    ] = None,
) -> None:
    """Write a trial's LoRA at its best step for `load_lora_weights` of diffusers."""
    from posttrain.paths import RunPaths
    from posttrain.reports.export import export_lora

    exported = export_lora(RunPaths(run), out, trial, metric)
    typer.echo(
        f"{exported['trial']} at step {exported['step']} ({exported['metric']} {exported['value']:.4g}) -> {out}; "
        f"{out / 'README.md'} shows how to load it"
    )
