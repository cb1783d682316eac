"""`posttrain sweep`: all of it; running it again resumes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from posttrain.errors import Interrupted, NoAnswer

if TYPE_CHECKING:
    from rich.console import Console

    from posttrain.config import LoadedSweep
    from posttrain.paths import RunPaths


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

    from posttrain.cli.sweep_file import open_sweep

    loaded = open_sweep(file, overrides)
    console = Console()
    for warning in loaded.warnings:
        console.print(f"warning: {warning}", highlight=False, markup=False, soft_wrap=True)
    summary = _run(loaded, runs, fresh=fresh, address=address, console=console)
    if summary["best"] is None:
        raise NoAnswer(f"no trial of {runs / loaded.config.name} has a value; the table tells why")


def _run(loaded: "LoadedSweep", runs: Path, *, fresh: bool, address: str | None, console: "Console") -> dict[str, Any]:
    """Runs the sweep and, however it ends, writes the summary and shows the table."""
    from posttrain.cli.display import LiveDisplay
    from posttrain.paths import RunPaths
    from posttrain.sweep.conductor import conduct
    from posttrain.sweep.curate import read_data
    from posttrain.sweep.rundir import open_run

    run = RunPaths(runs / loaded.config.name)
    seconds: dict[str, float] = {}
    failure: BaseException | None = None
    if fresh:
        with LiveDisplay(console) as display:
            read_data(loaded, display)  # --fresh must not delete a run for a sweep that cannot begin
    with open_run(loaded, run, fresh=fresh):
        try:
            with LiveDisplay(console) as display:
                conduct(loaded, run, address=address, display=display, seconds=seconds)
        except BaseException as error:  # noqa: BLE001 - raised again below, when the lock is given back
            failure = error
    # after the lock: what is still open is interrupted now, not running
    summary = _conclude(run, _status(failure), seconds, console)
    if failure is not None:
        raise failure
    return summary


def _status(failure: BaseException | None) -> str:
    if failure is None:
        return "completed"
    return "interrupted" if isinstance(failure, Interrupted | KeyboardInterrupt) else "failed"


def _conclude(run: "RunPaths", status: str, seconds: dict[str, float], console: "Console") -> dict[str, Any]:
    from posttrain.reports.status import print_view
    from posttrain.reports.summary import write_summary
    from posttrain.reports.trials import read_sweep
    from posttrain.tracking.tensorboard import tensorboard_command

    summary = write_summary(run, status=status, seconds=seconds)
    if run.trials.is_dir():
        print_view(read_sweep(run), console)
        compare = f"\ncompare the trials: {tensorboard_command(run.root)}"
        console.print(compare, highlight=False, markup=False, soft_wrap=True)
    return summary
