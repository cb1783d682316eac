"""`posttrain train`: one trial in this process, without Ray; running it again resumes."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from posttrain.errors import ConfigError, Interrupted, NoAnswer

if TYPE_CHECKING:
    from rich.console import Console

    from posttrain.config import LoadedSingle
    from posttrain.paths import RunPaths
    from posttrain.reports.taken import TakenTrial


_WIDEST = 400  # columns of a table that goes through a pipe, where nothing may be cut


def train(
    file: Annotated[str | None, typer.Argument(help="The sweep file; with --from it may be left out.")] = None,
    overrides: Annotated[list[str] | None, typer.Argument(help="section.key=value, any number of them.")] = None,
    source: Annotated[
        Path | None, typer.Option("--from", metavar="RUN", help="Take the configuration of a trial of this run.")
    ] = None,
    trial: Annotated[
        str, typer.Option(help="With --from: a trial's id, or `best`. With a FILE too, only its searched values.")
    ] = "best",
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete an earlier run of this name and start over.")] = False,
    runs: Annotated[Path, typer.Option(help="Where run directories are kept.")] = Path("runs"),
) -> None:
    """Train one configuration in this process, without Ray. Running it again resumes.

    Without --from, the file's own values are trained; its search space is not used. The result lies in
    runs/NAME-train, laid out like the run directory of a sweep.

    With --from RUN and no FILE, the trial's whole configuration is trained again. With both, FILE is trained with the
    values that the search drew for the trial. Overrides win over either. The result lies in runs/NAME-TRIAL.
    """
    from posttrain.cli.progress import open_console
    from posttrain.sweep.single import in_one_process

    taken = _take(source, trial)
    loaded = _load(*_split([*([file] if file is not None else []), *(overrides or [])]), taken)
    console = open_console()
    for line in _notes(loaded, taken):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    name = f"{loaded.config.name}-{taken.id if taken is not None else 'train'}"
    result = _run(in_one_process(loaded, name), runs, taken, fresh=fresh, console=console)
    if result["status"] != "completed":
        raise NoAnswer(f"{name} was {result['status']}: {result['reason']}{_remedy(result['status'])}")


def _split(arguments: Sequence[str]) -> tuple[Path | None, list[str]]:
    """The file, if the first argument is one, and the overrides."""
    if arguments and ("=" not in arguments[0] or Path(arguments[0]).is_file()):
        return Path(arguments[0]), list(arguments[1:])
    return None, list(arguments)


def _take(source: Path | None, trial: str) -> "TakenTrial | None":
    from posttrain.paths import RunPaths
    from posttrain.reports.taken import take_trial

    return None if source is None else take_trial(RunPaths(source), trial)


def _load(file: Path | None, overrides: list[str], taken: "TakenTrial | None") -> "LoadedSingle":
    from posttrain.cli.sweep_file import family_of, missing_paths_too
    from posttrain.config import load_single

    if file is not None:
        with missing_paths_too(file, overrides):
            return load_single(file, overrides, family_of, parameters=None if taken is None else taken.parameters)
    if taken is None:
        message = "neither a sweep file nor --from RUN was given, expected at least one of them"
        raise ConfigError.single("posttrain train", message, "for example `posttrain train sweep.yaml`")
    if taken.base_dir is None:
        message = "does not record the folder of its sweep file, so nothing tells where relative paths start"
        hint = f"give the sweep file too: posttrain train FILE --from {taken.run.root} --trial {taken.id}"
        raise ConfigError.single(str(taken.run.environment_json), message, hint)
    objective = [f"search.objective.{key}={value}" for key, value in taken.objective.items()]
    return load_single(taken.trial_yaml, [*objective, *overrides], family_of, base_dir=taken.base_dir)


def _notes(loaded: "LoadedSingle", taken: "TakenTrial | None") -> list[str]:
    """What a user should know before it starts."""
    if taken is None:
        lines = [f"warning: {warning}" for warning in loaded.warnings]
        lines.append("the file's own values are trained; its search space is not used")
    else:
        lines = [f"{taken.id} of {taken.run.root}: {_listed(taken.parameters) or 'no searched values'}"]
    workers, batch = loaded.config.resources.workers, loaded.config.training.batch_size
    if workers > 1:
        lines.append(f"one process in place of {workers} workers; the batch stays {batch}, accumulated")
    return lines


def _listed(parameters: Any) -> str:
    from posttrain.reports import numbers

    return ", ".join(f"{path}={numbers.parameter(value, named=True)}" for path, value in parameters.items())


def _run(
    loaded: "LoadedSingle", runs: Path, taken: "TakenTrial | None", *, fresh: bool, console: "Console"
) -> dict[str, Any]:
    """Trains and, however it ends, writes the summary and shows the result."""
    from posttrain.cli.train_display import TrainDisplay
    from posttrain.paths import RunPaths
    from posttrain.sweep.curate import read_data
    from posttrain.sweep.rundir import open_run
    from posttrain.sweep.single import RULES, train_single

    config, run = loaded.config, RunPaths(runs / loaded.config.name)
    seconds: dict[str, float] = {}
    failure: BaseException | None = None
    result: dict[str, Any] = {}
    with TrainDisplay(console, config.search.objective.metric, config.training.steps) as display:
        if fresh:
            read_data(loaded, display)  # --fresh must not delete a run for a training that cannot begin
        with open_run(loaded, run, fresh=fresh, rules=RULES) as is_replaced:
            if is_replaced:
                display.note("the configuration has changed, and nothing had been trained: started over")
            try:
                result = train_single(
                    loaded,
                    run,
                    parameters={} if taken is None else taken.parameters,
                    is_gated=taken is None or not taken.was_trained,
                    display=display,
                    seconds=seconds,
                )
            except BaseException as error:  # noqa: BLE001 - raised again below, when the lock is given back
                failure = error
    _conclude(run, _status(failure, result), seconds, result, console)
    if failure is not None:
        raise failure
    return result


def _status(failure: BaseException | None, result: dict[str, Any]) -> str:
    from posttrain.reports.summary import COMPLETED, FAILED, INTERRUPTED, NO_WINNER

    if failure is None:
        return COMPLETED if result["status"] == "completed" else NO_WINNER
    return INTERRUPTED if isinstance(failure, Interrupted | KeyboardInterrupt) else FAILED


def _conclude(
    run: "RunPaths", status: str, seconds: dict[str, float], result: dict[str, Any], console: "Console"
) -> None:
    from posttrain.reports.outcome import outcome_lines, outcome_table
    from posttrain.reports.summary import write_summary

    write_summary(run, status=status, seconds=seconds)
    if not result.get("metrics"):
        return
    table = outcome_table(run, result)
    wide = console.measure(table, options=console.options.update_width(_WIDEST)).maximum
    console.print(table, width=console.width if console.is_terminal else wide, crop=False)
    for line in outcome_lines(run, result):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _remedy(status: str) -> str:
    return "; `overfit=off` trains without the gate" if status == "gated" else ""
