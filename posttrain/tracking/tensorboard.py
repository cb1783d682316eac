"""The curves and pictures of one trial, for TensorBoard.

The process that trains opens a `TrialBoard` on the trial's folder each time it starts or resumes the trial.
Every opening begins an event file of its own with a `SessionLog.START` at the first step it is going to do,
so that TensorBoard drops what an earlier process wrote at that step and after, and a resumed trial's curves
equal an uninterrupted one's (events.py says why this is enough). The driver's session records for the HParams
table lie in the same folder, in files of their own (hparams.py); the two never write at the same time, nor to
the same file.

`tensorboard_command` is the line a user types to see it all.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.proto.event_pb2 import Event

from posttrain.errors import environment_faults
from posttrain.tracking import events


class TrialBoard:
    """Writes one trial's scalars and images; a context manager that closes the file.

    `first_step` is the first step that this process will write: 0 for a trial from the start, s + 1 for one
    that resumes from the checkpoint of step s. Every call reaches the operating system before it returns, as
    the metric log does: what a checkpoint covers is never lost with a killed process.
    """

    def __init__(self, trial: Path, first_step: int = 0) -> None:
        trial.mkdir(parents=True, exist_ok=True)
        self.path = events.new_path(trial, "metrics")
        self._file = self.path.open("wb")
        self._write([events.version_event(), events.start_event(first_step)])

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Write one point on each of the curves named by the keys ("train/loss", "held_out/psnr")."""
        self._write([events.summary_event((events.scalar(k, float(v)) for k, v in values.items()), step)])

    def image(self, tag: str, image_HWC: NDArray[np.uint8], step: int) -> None:
        """Write one picture, uint8 [height, width, 3]: a frame strip, for instance."""
        self._write([events.summary_event([events.image(tag, image_HWC)], step)])

    def text(self, tag: str, markdown: str, step: int) -> None:
        """Write one text: questions with their answers, for instance."""
        self._write([events.summary_event([events.text(tag, markdown)], step)])

    def close(self) -> None:
        """Close the file; writing afterwards is a bug."""
        self._file.close()

    def __enter__(self) -> TrialBoard:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, batch: Iterable[Event]) -> None:
        with environment_faults(self.path):
            events.write_events(self._file, batch)
            self._file.flush()


def tensorboard_command(run: Path) -> str:
    """Return the shell command that shows a run directory in TensorBoard, quoted where its name needs it.

    Where the shell would not find `tensorboard`, the one beside this Python is named by its path.
    """
    program = "tensorboard"
    if shutil.which(program) is None:
        beside = Path(sys.executable).with_name(program)
        here = Path.cwd()
        program = str(beside.relative_to(here) if beside.is_relative_to(here) else beside)
    return f"{shlex.quote(program)} --logdir {shlex.quote(str(run))}"
