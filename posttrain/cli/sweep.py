"""`posttrain sweep`: all of it; running it again resumes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from posttrain.errors import Interrupted, NoAnswer

if TYPE_CHECKING:
    from rich.console import Console

    from posttrain.config import LoadedSweep


def sweep(
    file: Annotated[Path, typer.Argument(help="The sweep file.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="section.key=value, any number of them.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete an earlier run of this name and start over.")] = False,
    runs: Annotated[Path, typer.Option(help="Where run directories are kept.")] = Path("runs"),
    address: Annotated[
        str | None,
        typer.Option(help="A Ray cluster to run on, or `auto` for the one of this machine; else an embedded Ray."),
    ] = None,
) -> None:
    """Run a sweep: curate, gate, measure the base, search. Running it again resumes."""
    from rich.console import Console

    from posttrain.config import load_sweep

    loaded = load_sweep(file, overrides or [])
    console = Console()
    for warning in loaded.warnings:
        console.print(f"warning: {warning}", highlight=False, markup=False, soft_wrap=True)
    summary = _run(loaded, runs, fresh=fresh, address=address, console=console)
    if summary["best"] is None:
        raise NoAnswer(f"no trial of {runs / loaded.config.name} has a value; the table tells why")


def _run(loaded: "LoadedSweep", runs: Path, *, fresh: bool, address: str | None, console: "Console") -> dict[str, Any]:
    """Runs the sweep and, however it ends, writes the summary and shows the table."""
    from posttrain.cli.display import LiveDisplay
    from posttrain.reports.status import print_view
    from posttrain.reports.summary import write_summary
    from posttrain.reports.trials import read_sweep
    from posttrain.sweep.conductor import conduct
    from posttrain.sweep.rundir import open_run
    from posttrain.tracking.tensorboard import tensorboard_command

    with open_run(loaded, runs, fresh=fresh) as run:
        status, seconds = "failed", {}
        try:
            with LiveDisplay(console) as display:
                seconds = conduct(loaded, run, address=address, display=display)
            status = "completed"
        except Interrupted:
            status = "interrupted"
            raise
        finally:
            summary = write_summary(run, status=status, seconds=seconds)
            if summary["trials"]:
                print_view(read_sweep(run), console)
                compare = f"\ncompare the trials: {tensorboard_command(run.root)}"
                console.print(compare, highlight=False, markup=False, soft_wrap=True)
    return summary
