"""How long a sweep still takes, from what its trials have taken on this machine; start-up is no part of it.

An ended trial costs the seconds of its own `result.json`: gate, training, evaluation. A trial that has not begun is
expected to cost the mean over ended ones, gated and stopped trials included. A running trial is measured by its own
progress. Trials then go onto the slots as they come free.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from posttrain.reports.trials import TrialRow


@dataclass(frozen=True)
class UnderWay:
    """A running trial: the phase it is at, that phase's steps, and the seconds since it was at `first_step`."""

    phase: str
    step: int = 0
    steps: int = 0
    seconds: float = 0.0
    first_step: int = 0

    @property
    def own_pace(self) -> float | None:
        """Return the seconds to the end of the phase at the trial's own pace; None before its first step."""
        done = self.step - self.first_step
        return self.seconds * (self.steps - self.step) / done if done > 0 else None

    @property
    def rest(self) -> float:
        """Return the share of the phase that remains."""
        return 1 - self.step / self.steps if self.steps else 1.0


@dataclass(frozen=True)
class Costs:
    """Mean seconds: of a trial, of its gate, of what follows it, and of a training to the last step."""

    trial: float
    gate: float
    after_gate: float
    full_training: float | None

    @classmethod
    def of(cls, ended: Iterable[TrialRow], steps: int | None) -> Costs | None:
        """Return the means over ended trials of `steps` steps; None where there are none."""
        rows = [row for row in ended if row.seconds]
        if not rows:
            return None
        gates = [row.seconds.get("gate", 0.0) for row in rows]
        totals = [sum(row.seconds.values()) for row in rows]
        trained = [
            (total - gate) / row.step * steps
            for row, total, gate in zip(rows, totals, gates, strict=True)
            if row.step and steps
        ]
        trial, gate = sum(totals) / len(rows), sum(gates) / len(rows)
        return cls(trial, gate, trial - gate, sum(trained) / len(trained) if trained else None)


def seconds_left(costs: Costs | None, running: Sequence[UnderWay], waiting: int, slots: int) -> float | None:
    """Return the seconds until the last trial ends.

    waiting: trials that have not begun. None where nothing tells yet: no trial has ended here.
    """
    remainders = [_remaining(trial, costs) for trial in running]
    if any(seconds is None for seconds in remainders) or (waiting and costs is None):
        return None
    free = [seconds or 0.0 for seconds in remainders]
    free += [0.0] * max(0, slots - len(free))
    if not free:
        return None
    heapq.heapify(free)
    for _ in range(waiting):
        assert costs is not None
        heapq.heapreplace(free, free[0] + costs.trial)
    return max(free)


def _remaining(trial: UnderWay, costs: Costs | None) -> float | None:
    if trial.phase in ("training", "evaluating"):
        return _rest_of_training(trial, costs)
    if costs is None:
        return None
    if trial.phase == "gate":
        own = trial.own_pace
        return (max(0.0, costs.gate - trial.seconds) if own is None else own) + costs.after_gate
    return costs.trial


def _rest_of_training(trial: UnderWay, costs: Costs | None) -> float | None:
    own = trial.own_pace
    if costs is None:
        return own
    whole = costs.after_gate if costs.full_training is None else costs.full_training
    if own is None:
        return trial.rest * whole
    # at the last step its last evaluation remains, which its own steps say nothing about
    return own if trial.step < trial.steps else max(0.0, whole - trial.seconds)
