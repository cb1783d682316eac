"""What runs next, and what an ended job means: the sweep's decisions, free of Ray.

    prepare  ->  trials left in flight by an earlier driver  ->  new draws up to `trials`  ->  done

`next_job` hands out one job at a time; `WAIT` says that work may still come (the preparation is running, or a lost
job may be sent again), `DONE` that none will. `Ledger` writes the study and tells `Events`; Ray Tune's searcher is
a thin shell around it.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Protocol

from posttrain.errors import EnvironmentFault
from posttrain.sweep.protocol import OBJECTIVE, PREPARE, TRIAL, Job, Outcome
from posttrain.sweep.study import StudyBook

SEND_AGAIN_S = 3.0
"""How long a lost job waits: what is left of its dead slot may write into the trial's folder for a moment."""


class Verdict(Enum):
    WAIT = "wait"
    DONE = "done"


class Events(Protocol):
    """What the driver's display hears. Called in the driver's main thread."""

    def on_trial(
        self,
        trial_id: str,
        status: str,
        *,
        step: int | None,
        values: Mapping[str, float],
        reason: str,
        parameters: Mapping[str, Any],
    ) -> None:
        """A trial changed: running | completed | stopped | gated | failed | interrupted | retrying."""
        ...

    def on_progress(self, job_id: str, event: Mapping[str, Any]) -> None:
        """A job's `link.note(event)`, or one of the driver's own; job_id is a trial id, or `prepare`."""
        ...

    def on_note(self, text: str) -> None:
        """A line for people."""
        ...


class Ledger:
    """See the module's docstring.

    `prepared` gets the preparation's outcome and may raise to end the sweep; `payload` makes a trial's payload from
    its id and parameters. What either raises is kept in `fault` and ends the sweep: the searcher must not raise
    through Ray Tune.
    """

    def __init__(
        self,
        book: StudyBook,
        events: Events,
        *,
        trials: int,
        prepare: Mapping[str, Any],
        prepared: Callable[[Outcome], None],
        payload: Callable[[str, Mapping[str, Any]], Mapping[str, Any]],
        max_retries: int,
    ) -> None:
        self._book = book
        self._events = events
        self._trials = trials
        self._prepared = prepared
        self._payload = payload
        self._max_retries = max_retries
        self._queue: deque[Job] = deque([Job(PREPARE, PREPARE, prepare)])
        self._running: dict[str, Job] = {}
        self._parameters: dict[str, Mapping[str, Any]] = {}
        self._ready = False
        self._not_before = 0.0
        self.stopping = False
        self.fault: BaseException | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune keeps a copy of its searcher that is never restored, and a display cannot be pickled."""
        return {}

    @property
    def num_running(self) -> int:
        return len(self._running)

    def next_job(self) -> Job | Verdict:
        if self.stopping or self.fault is not None:
            return Verdict.DONE
        if time.monotonic() < self._not_before:
            return Verdict.WAIT
        if self._queue:
            return self._start(self._queue.popleft())
        if not self._ready:
            return Verdict.WAIT
        if self._book.num_drawn() < self._trials:
            return self._guard(self._draw) or Verdict.DONE
        return Verdict.WAIT if self._running else Verdict.DONE

    def on_report(self, job_id: str, step: int, values: Mapping[str, float]) -> None:
        if self._running[job_id].kind != TRIAL:
            return
        if OBJECTIVE in values:
            self._book.report(job_id, step, float(values[OBJECTIVE]))
        self._tell_events(job_id, "running", step=step, values=values)

    def on_outcome(self, outcome: Outcome) -> None:
        """A job ended by itself: its function returned or raised, or it found no workers."""
        if outcome.unplaced:
            self.on_lost(outcome.job.id, outcome.error, unplaced=True)
            return
        job = self._running.pop(outcome.job.id)
        if "fault" in outcome.result:
            # no trial's fault: it stays open in the study, and the sweep ends until the cause is gone
            self.fault = EnvironmentFault(f"{outcome.result['fault']} (on {outcome.node})")
        if job.kind == PREPARE:
            self._end_preparation(outcome)
            return
        value = outcome.result.get("value")
        value = None if value is None else float(value)
        if outcome.status == "gated" and "gate_score" in outcome.result:
            self._book.report_gate(job.id, float(outcome.result["gate_score"]))
        record = self._book.tell(job.id, outcome.status, value, outcome.reason)
        status = "interrupted" if outcome.status == "interrupted" else record.status
        self._tell_events(job.id, status, reason=record.reason or outcome.reason)

    def on_lost(self, job_id: str, cause: str, unplaced: bool = False) -> None:
        """The slot died under a job: it runs again elsewhere, `max_retries` times at most."""
        job = self._running.pop(job_id)
        again = dataclasses.replace(job, attempt=job.attempt + 1)
        if again.attempt > self._max_retries and unplaced:
            self.fault = EnvironmentFault(f"{job_id}: {cause}; look at what else runs on the cluster, or ask for less")
            return
        if again.attempt > self._max_retries:
            self._running[job_id] = job
            self.on_outcome(Outcome(job, error=f"{cause} ({again.attempt} times)"))
            return
        self._queue.appendleft(again)
        self._not_before = time.monotonic() + SEND_AGAIN_S
        if job.kind == TRIAL:
            self._tell_events(job_id, "retrying", reason=cause)

    def _end_preparation(self, outcome: Outcome) -> None:
        self._events.on_progress(PREPARE, {"doing": ""})
        if outcome.status != "interrupted":
            self._guard(lambda: self._prepared(outcome))
        if self.fault is None and outcome.status == "completed":
            self._guard(self._continue_running)
            self._ready = True
        else:
            self.stopping = True

    def _continue_running(self) -> None:
        for record in self._book.continue_running():
            self._queue.append(self._job(record.id, record.parameters))

    def _draw(self) -> Job:
        record = self._book.draw()
        return self._start(self._job(record.id, record.parameters))

    def _job(self, id_: str, parameters: Mapping[str, Any]) -> Job:
        self._parameters[id_] = parameters
        return Job(id_, TRIAL, self._payload(id_, parameters))

    def _start(self, job: Job) -> Job:
        self._running[job.id] = job
        if job.kind == TRIAL:
            self._tell_events(job.id, "running")
        return job

    def _tell_events(
        self,
        job_id: str,
        status: str,
        *,
        step: int | None = None,
        values: Mapping[str, float] | None = None,
        reason: str = "",
    ) -> None:
        parameters = self._parameters.get(job_id, {})
        self._events.on_trial(job_id, status, step=step, values=values or {}, reason=reason, parameters=parameters)

    def _guard(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except Exception as error:  # noqa: BLE001 Tune would log and swallow it: the runner raises it after fit()
            self.fault = error
            return None


def objective_problem(values: Mapping[str, float]) -> str | None:
    """Why a report's objective cannot be used."""
    value = values.get(OBJECTIVE)
    if value is None or math.isfinite(value):
        return None
    return f"the objective is not a finite number: {value}"
