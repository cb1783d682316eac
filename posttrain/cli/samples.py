"""`posttrain demo` and `posttrain tiny`: built-in data sets and checkpoints as real files."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    name: Annotated[str, typer.Argument(help="For example shapes, shapes-control/fixed or digits/read.")],
    out: Annotated[Path, typer.Argument(help="A new or empty folder.")],
) -> None:
    """Write a demo data set as files: clips with captions, or pictures with questions."""
    from posttrain.data import demo as demos

    written = demos.write(name.removeprefix("demo:"), out)
    typer.echo(str(written))


def tiny(
    name: Annotated[str, typer.Argument(help="For example predict2.5, transfer2.5 or qwen3-vl.")],
    out: Annotated[Path, typer.Argument(help="A new or empty folder.")],
) -> None:
    """Write a tiny checkpoint in the layout of the real one."""
    from posttrain.models import tiny as checkpoints

    written = checkpoints.write(f"tiny:{name.removeprefix('tiny:')}", out)
    typer.echo(str(written))
