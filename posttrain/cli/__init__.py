"""The command line: one command per module, and the boundary where errors become messages and exit codes.

    0 done   1 ran, but the answer is no   2 the user's input is wrong   3 interrupted, running it again resumes
    4 a fault of the environment

Heavy libraries are imported inside the commands, so that `posttrain --help` answers at once.
"""

import errno
import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from posttrain import __version__
from posttrain.cli.check import check
from posttrain.cli.data import data
from posttrain.cli.doctor import doctor
from posttrain.cli.export import export
from posttrain.cli.output import keep_going_without_output
from posttrain.cli.overfit import overfit
from posttrain.cli.plan import plan
from posttrain.cli.samples import demo, tiny
from posttrain.cli.status import status
from posttrain.cli.sweep import sweep
from posttrain.cli.train import train
from posttrain.errors import ConfigError, EnvironmentFault, Interrupted, PosttrainError, disk_fault

# In the order in which `--help` shows them.
COMMANDS: tuple[Callable[..., Any], ...] = (
    check,
    data,
    plan,
    overfit,
    sweep,
    train,
    status,
    export,
    doctor,
    demo,
    tiny,
)

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_CTRL_C = 130  # the code that typer turns KeyboardInterrupt into


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"posttrain {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Post-train foundation models by sweeps: curate, gate, search, confirm. One YAML file describes a sweep."""


def build_app() -> typer.Typer:
    """The program with all its commands."""
    app = typer.Typer(name="posttrain", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
    app.callback()(_options)
    for command in COMMANDS:
        app.command()(command)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and exits; goes on where nobody reads its output any more."""
    keep_going_without_output()
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Runs one command; returns the exit code. A bug of ours comes through as the exception it is."""
    try:
        return _call(arguments)
    except PosttrainError as error:
        return _report(error)
    except KeyboardInterrupt:
        return _report(Interrupted("interrupted; running the same command again resumes"))
    except MemoryError as error:
        return _report(EnvironmentFault(f"not enough memory ({error}); use smaller batches or clips"))
    except OSError as error:
        if error.errno not in _DISK_FULL:
            raise
        return _report(disk_fault(error, error.filename or os.getcwd()))  # noqa: PTH109 - a place for the message


def _call(arguments: Sequence[str]) -> int:
    """Typer always ends in SystemExit; its code is the answer."""
    try:
        build_app()(args=list(arguments), prog_name="posttrain")
    except SystemExit as leaving:
        if leaving.code == _CTRL_C:
            raise KeyboardInterrupt from leaving
        return leaving.code if isinstance(leaving.code, int) else 0
    return 0


def _report(error: PosttrainError) -> int:
    if isinstance(error, ConfigError):
        lines = [str(issue) for issue in error.issues]
        print("\n".join(lines), file=sys.stderr)
        if len(lines) > 1:
            print(f"{len(lines)} errors", file=sys.stderr)
    else:
        print(str(error) if isinstance(error, Interrupted) else f"error: {error}", file=sys.stderr)
    return error.exit_code
