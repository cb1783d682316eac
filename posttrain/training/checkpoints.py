"""The checkpoints of one trial: whole or absent, the last to resume from and the best of every metric.

Layout: `checkpoints/step-000050/` holds the strategy's own file (a LoRA that plain diffusers loads), optimizer,
schedule and generator states, and `evaluation.json`, the metrics measured at that step.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from posttrain.errors import environment_faults
from posttrain.evaluation.ranks import together, world
from posttrain.evaluation.suites import mode_of
from posttrain.tracking.metrics import Measured, best

_STAGING = ".staging"
_EVALUATION = "evaluation.json"


class Checkpoints:
    """Reads and writes below one `checkpoints/` folder; every rank calls, rank 0 renames and prunes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.values: dict[str, float] = {}  # metrics of the step being saved, set before `writing`; spent by it

    def steps(self) -> list[int]:
        """Steps with a whole checkpoint, ascending."""
        return sorted(int(path.name.removeprefix("step-")) for path in self.root.glob("step-*"))

    def folder(self, step: int) -> Path:
        """Where the checkpoint of a step lies."""
        return self.root / f"step-{step:06d}"

    def last(self) -> int | None:
        """The step to resume from."""
        steps = self.steps()
        return steps[-1] if steps else None

    def best(self) -> dict[str, int]:
        """The best step by metric, among those on disk; the earlier one of equals."""
        measured: dict[str, list[Measured]] = {}
        for step in self.steps():
            for metric, value in self._values(step).items():
                measured.setdefault(metric, []).append(Measured(value, step))
        bests = {metric: best(values, mode_of(metric)) for metric, values in measured.items()}
        return {metric: found.step for metric, found in bests.items() if found is not None}

    @contextmanager
    def writing(self, step: int) -> Iterator[Path]:
        """Yields a folder to write into and renames it when everything is there.

        Raises:
            EnvironmentFault: the disk is full or not writable; earlier checkpoints are untouched.
        """
        staging = self.root / _STAGING
        with environment_faults(self.root):
            with together():
                if world()[0] == 0:
                    shutil.rmtree(staging, ignore_errors=True)
                    staging.mkdir(parents=True)
            with together():
                yield staging
            with together():
                if world()[0] == 0:
                    self._commit(step, staging)

    def _commit(self, step: int, staging: Path) -> None:
        (written,) = staging.glob("checkpoint-*")  # the Trainer's own name
        (written / _EVALUATION).write_text(json.dumps(self.values), encoding="utf-8")
        self.values = {}  # a later checkpoint off the evaluation steps has none
        shutil.rmtree(self.folder(step), ignore_errors=True)
        written.rename(self.folder(step))
        shutil.rmtree(staging)
        kept = {self.last(), *self.best().values()}
        for other in self.steps():
            if other not in kept:
                shutil.rmtree(self.folder(other))

    def _values(self, step: int) -> dict[str, float]:
        path = self.folder(step) / _EVALUATION
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
