"""What a sweep is to run on Ray, and what comes back: plain data, free of Ray and Optuna."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from posttrain.sweep.protocol import Outcome
    from posttrain.sweep.study import TrialRecord


@dataclass(frozen=True)
class AshaSpec:
    """`grace_steps`: no trial stops before it. Of every `reduction` trials that reach a rung, one goes on."""

    grace_steps: int
    max_steps: int
    reduction: float = 3


@dataclass(frozen=True)
class GroupSize:
    """What one slot's workers take; `cpus_per_worker` is what a worker may use, see `bundle` for what Ray is asked."""

    workers: int = 1
    cpus_per_worker: float = 1.0
    gpus_per_worker: float = 0.0

    @property
    def threads(self) -> int:
        return max(1, int(self.cpus_per_worker))

    def bundle(self) -> dict[str, float]:
        """A worker's resources for Ray: 0.01 CPU less leaves room for the slot's actor (0.001 CPU) on full nodes."""
        resources = {"CPU": round(max(self.cpus_per_worker - 0.01, 0.01), 4)}
        if self.gpus_per_worker:
            resources["GPU"] = self.gpus_per_worker
        return resources


@dataclass(frozen=True)
class SweepPlan:
    """What to run and on what. `gpus_per_worker=None` means one where the cluster has GPUs, else none.

    `scratch` is a folder of this run for Ray's own files, on a file system that all nodes see; it is removed at the
    end.
    """

    trials: int
    scratch: Path
    asha: AshaSpec | None = None
    workers: int = 1
    cpus_per_worker: float = 1.0
    gpus_per_worker: float | None = None
    slots: int | Literal["auto"] = "auto"
    max_retries: int = 2
    start_timeout_s: float = 180.0
    address: str | None = None


@dataclass
class SweepOutcome:
    """How a sweep ended: every trial as the study has it, the preparation's outcome, slots and seconds."""

    records: list[TrialRecord]
    prepare: Outcome | None = None
    slots: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
