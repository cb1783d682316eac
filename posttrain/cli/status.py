"""`posttrain status`: what a run came to, or where it stands."""

from pathlib import Path
from typing import Annotated

import typer


def status(
    run: Annotated[Path, typer.Argument(help="A run directory, runs/<name>.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Show the trials of a run: status, objective, difference to the base model, reason."""
    from rich.console import Console

    from posttrain.paths import RunPaths
    from posttrain.reports.status import print_status

    print_status(RunPaths(run), Console(), as_json=as_json)
