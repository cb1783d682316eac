"""`posttrain sweep`: all of it; running it again resumes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from posttrain.errors import Interrupted, NoAnswer

if TYPE_CHECKING:
    from posttrain.cli.display import LiveDisplay
    from posttrain.config import LoadedSweep
    from posttrain.paths import RunPaths
    from posttrain.reports.summary import EndedSummary


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
    from posttrain.cli.display import LiveDisplay
    from posttrain.cli.progress import open_console
    from posttrain.cli.sweep_file import open_sweep
    from posttrain.paths import RunPaths

    loaded = open_sweep(file, overrides)
    display = LiveDisplay(open_console())
    for warning in loaded.warnings:
        display.note(f"warning: {warning}")
    _run(loaded, RunPaths(runs / loaded.config.name), fresh=fresh, address=address, display=display)


def _run(loaded: "LoadedSweep", run: "RunPaths", *, fresh: bool, address: str | None, display: "LiveDisplay") -> None:
    """Runs the sweep and, however it ends, writes the summary and shows the table."""
    from posttrain.reports.summary import ended_summary

    seconds: dict[str, float] = {}
    failure: BaseException | None = None
    with display:
        display.starting()
        from posttrain.sweep.conductor import conduct
        from posttrain.sweep.curate import read_data
        from posttrain.sweep.rundir import open_run

        if fresh:
            read_data(loaded, display)  # --fresh must not delete a run for a sweep that cannot begin
        with open_run(loaded, run, fresh=fresh):
            before = ended_summary(run)
            try:
                conduct(loaded, run, address=address, display=display, seconds=seconds)
            except BaseException as error:  # noqa: BLE001 - raised again below, when the lock is given back
                failure = error
    # after the lock: what is still open is interrupted now, not running
    has_winner = _conclude(run, failure, before, seconds, display)
    if failure is not None:
        raise failure
    if not has_winner:
        raise NoAnswer(
            "no winner: no trial has a value; the reasons above say what to change in the file. Then give the sweep "
            "another `name`, or start over with --fresh (it deletes the run)"
        )


def _conclude(
    run: "RunPaths",
    failure: BaseException | None,
    before: "EndedSummary | None",
    seconds: dict[str, float],
    display: "LiveDisplay",
) -> bool:
    """Writes the summary and shows the table; returns whether there is a winner.

    A start that began no trial leaves the summary of a run that had ended as it is.
    """
    from posttrain.reports.status import print_view
    from posttrain.reports.summary import write_summary
    from posttrain.reports.trials import read_sweep
    from posttrain.tracking.tensorboard import tensorboard_command

    view = read_sweep(run)
    if before is None or not before.still_holds(view):
        write_summary(run, status=_status(failure, has_winner=view.best is not None), seconds=seconds)
    if run.trials.is_dir():
        print_view(view, display.console, display.printed)
        display.note(f"\ncompare the trials: {tensorboard_command(run.root)}")
    return view.best is not None


def _status(failure: BaseException | None, *, has_winner: bool) -> str:
    from posttrain.reports.summary import COMPLETED, FAILED, INTERRUPTED, NO_WINNER

    if isinstance(failure, Interrupted | KeyboardInterrupt):
        return INTERRUPTED
    if failure is None or isinstance(failure, NoAnswer):
        return COMPLETED if has_winner else NO_WINNER
    return FAILED
