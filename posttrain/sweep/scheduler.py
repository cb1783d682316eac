"""Which trials stop early: Ray Tune's ASHA over our own step counter, and what always stops: a broken objective.

A decision to stop goes to the job through the mailbox, as the answer to its waiting report; the job then ends by
itself with a result. So `on_trial_result` always tells Tune to go on, and a stopped trial leaves its slot the same
way as any other.

Rungs are keyed by our trial ids, not by Tune's: on a restart they are filled again from the study's intermediate
values, and a continued trial finds itself in the rungs that it has passed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler

from posttrain.sweep.ledger import objective_problem
from posttrain.sweep.plan import AshaSpec
from posttrain.sweep.protocol import OBJECTIVE, TRIAL
from posttrain.sweep.searcher import reported_values
from posttrain.sweep.study import TrialRecord

Stop = Callable[[str, str], None]
"""Something to do with a job or a Tune trial: (its id, the reason)."""


@dataclass(frozen=True)
class _Named:
    """Stands for a trial where ASHA looks at nothing but its id."""

    trial_id: str


class Asha:
    """ASHA's rungs by our trial ids."""

    def __init__(self, spec: AshaSpec, mode: str, history: Iterable[TrialRecord]) -> None:
        grace = max(1, min(spec.grace_steps, spec.max_steps))
        self._asha = AsyncHyperBandScheduler(
            time_attr="step",
            metric=OBJECTIVE,
            mode=mode,
            max_t=spec.max_steps,
            grace_period=grace,
            reduction_factor=spec.reduction,
            stop_last_trials=False,
        )
        self._max_steps = spec.max_steps
        self._known: set[str] = set()
        for record in history:
            for step, value in sorted(record.steps.items()):
                self.stops(record.id, step, value)

    def stops(self, trial_id: str, step: int, value: float) -> bool:
        """Record a value; whether the trial is among those that stop at this rung."""
        named = _Named(trial_id)
        if trial_id not in self._known:
            self._asha.on_trial_add(None, named)
            self._known.add(trial_id)
        decision = self._asha.on_trial_result(None, named, {"step": step, OBJECTIVE: value})
        # the last step may be a rung of its own; a trial that reaches it has completed whatever its rank
        return bool(decision == TrialScheduler.STOP) and step < self._max_steps


class SweepScheduler(FIFOScheduler):  # type: ignore[misc]  # ray ships no usable types
    """See the module's docstring; without `asha`, only a broken objective stops a trial."""

    def __init__(self, asha: Asha | None, stop: Stop, keep_cause: Stop) -> None:
        super().__init__()
        self._asha = asha
        self._stop = stop
        self._keep_cause = keep_cause

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        self._keep_cause(trial.trial_id, f"the slot died: {_last_error(trial.error_file)}")

    def on_trial_result(self, tune_controller: Any, trial: Any, result: Mapping[str, Any]) -> str:
        job = trial.config["job"]
        values = reported_values(dict(result))
        if job.kind == TRIAL and "outcome" not in result and OBJECTIVE in values:
            reason = self._reason(job.id, int(result["step"]), values)
            if reason:
                self._stop(job.id, reason)
        return str(TrialScheduler.CONTINUE)

    def _reason(self, job_id: str, step: int, values: Mapping[str, float]) -> str | None:
        problem = objective_problem(values)
        if problem:
            return f"{problem} at step {step}"
        if self._asha and self._asha.stops(job_id, step, values[OBJECTIVE]):
            return f"asha: not among the best of the trials that reached step {step}"
        return None


def _last_error(error_file: str | None) -> str:
    """The line that tells the error in the file that Tune keeps: an exception's last one, else the first."""
    path = Path(error_file) if error_file else None
    if path is None or not path.is_file():
        return "no cause is known"
    lines = [line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip()]
    body = lines[1:] or lines
    if not body:
        return "no cause is known"
    return body[-1] if any(line.startswith("Traceback") or "Error:" in line for line in body) else body[0]
