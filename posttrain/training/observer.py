"""What a running trial tells, and what it may be told in return.

`training.train` hands out records and asks two questions: whether to go on after an evaluation, and whether to stop
now. The sweep answers over Ray, the gate and the tests answer in place.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class StepRecord:
    """Means over the optimizer steps since the last record."""

    step: int
    values: Mapping[str, float]  # train/loss, train/grad_norm, train/learning_rate, train/steps_per_second


@dataclass(frozen=True)
class EvaluationRecord:
    """The metrics of all suites at one step, `<suite>/<metric>`."""

    step: int
    values: Mapping[str, float]


TRAINING = "training"
EVALUATING = "evaluating"


class Observer(Protocol):
    """The listener of one trial. In a worker group only rank 0 is heard; decisions are agreed over all ranks."""

    def on_progress(self, step: int, phase: str) -> None:
        """Hears each step as it ends (TRAINING) and each evaluation as it begins (EVALUATING); must be quick."""
        ...

    def on_step(self, record: StepRecord) -> None:
        """Receives a training record; must be quick."""
        ...

    def on_evaluation(self, record: EvaluationRecord) -> str | None:
        """Receives an evaluation that is already on disk; returns why to stop, or None to go on."""
        ...

    def should_stop(self) -> bool:
        """Asked after each step: True makes the trial write a checkpoint and end as interrupted."""
        ...


class StopRequested(Exception):  # noqa: N818 - an order, not a fault
    """Ends work that has no checkpoint to write: the gate, the encoding."""
