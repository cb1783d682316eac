"""Reading a sweep file on the command line: the checkpoint tells what the file leaves to it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from posttrain.config import LoadedSweep


def open_sweep(file: Path, overrides: Sequence[str] | None) -> "LoadedSweep":
    """The sweep file with its overrides; raises ConfigError with all that is wrong in it."""
    from posttrain.config import load_sweep

    return load_sweep(file, overrides or [], family_of)


def family_of(checkpoint: str, base_dir: Path) -> str | None:
    """The family that a checkpoint's own files tell, if they do."""
    from posttrain.models import reading

    return reading.family_of(checkpoint, base_dir)
