"""A slot: the place where one trial at a time trains, kept warm from trial to trial.

To Ray Tune a slot is a class trainable with `reuse_actors=True`; inside, a thread runs one long Ray Train run
(`posttrain.sweep.group`) whose workers take jobs from the mailbox. One Tune trial is one job:

    Tune               slot                              workers
    reset_config  -->  send(job)                   -->   the job function starts
    train()       -->  next_event(proceed=True)    -->   a waiting report() returns None (or the reason to stop)
                  <--  {step, objective, ...}      <--   report()
    train()       ...
                  <--  {done, outcome}             <--   the job function has returned

So reports are in lock-step with the scheduler: a trial that is stopped stops at the very step of its report. A
worker that dies is replaced by Ray Train; the new group announces itself and the slot sends the job again,
`max_retries` times at most.
"""

from __future__ import annotations

import dataclasses
import threading
import time
import uuid
from dataclasses import dataclass
from functools import partial
from typing import Any

import ray
from ray.tune import Trainable

from posttrain.sweep.group import group_trainer
from posttrain.sweep.plan import GroupSize
from posttrain.sweep.protocol import INTERRUPTED, Job, Outcome, Ready, Report
from posttrain.sweep.worker import worker_loop

POLL_S = 0.5
END_S = 30.0


@dataclass(frozen=True)
class SlotSpec:
    """What every slot of a sweep needs. `job_function` is pickled, so that the slot itself does not import torch."""

    mailbox: Any
    job_function: bytes
    size: GroupSize
    storage: str
    max_retries: int = 2
    start_timeout_s: float = 180.0


class Slot(Trainable):  # type: ignore[misc]  # ray ships no usable types
    """See the module's docstring. `config` is `{"job": Job}`."""

    def setup(self, config: dict[str, Any], spec: SlotSpec) -> None:
        self._spec = spec
        self._name = f"slot-{uuid.uuid4().hex[:8]}"
        self._job: Job | None = config["job"]
        self._lost_at: float | None = time.monotonic()  # since when there is no worker group; None while there is one
        self._error = ""
        self._pending: Any = None
        self._thread: threading.Thread | None = None

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._finish_current("the next trial took its place")
        self._job = new_config["job"]
        if self._lost_at is None:
            self._call("send", self._job)
        return True

    def step(self) -> dict[str, Any]:
        self._start_group()
        while True:
            event = self._next_event()
            if isinstance(event, Report):
                return {"step": event.step, "values": dict(event.values)}
            if isinstance(event, Outcome):
                return self._done(event)
            outcome = self._welcome(event)
            if outcome is not None:
                return self._done(outcome)

    def cleanup(self) -> None:
        self._finish_current("the sweep ended")
        if self._thread is not None:
            self._call("end")
            # Without a worker group Ray Train may wait for resources for a minute: it dies with this process.
            self._thread.join(END_S if self._lost_at is None else 0)

    # -- inside -----------------------------------------------------------------------------------------------------

    def _start_group(self) -> None:
        # Only now, not in setup(): Tune drops a slot that is still starting when another one comes free for its trial.
        if self._thread is None:
            self._lost_at = time.monotonic()
            self._thread = threading.Thread(target=self._run_group, name=self._name, daemon=True)
            self._thread.start()

    def _run_group(self) -> None:
        spec = self._spec
        loop = partial(worker_loop, spec.mailbox, self._name, spec.job_function, spec.size.threads)
        try:
            group_trainer(loop, spec.size, mailbox=spec.mailbox, slot=self._name, storage=spec.storage).fit()
        except Exception as error:  # noqa: BLE001 the cause is told to Tune by the next step()
            self._error = f"{type(error).__name__}: {error}"

    def _call(self, method: str, *arguments: Any) -> Any:
        return ray.get(getattr(self._spec.mailbox, method).remote(self._name, *arguments))

    def _next_event(self) -> Report | Outcome | Ready:
        """Let the waiting report go on and wait for the next event, watching over the worker group meanwhile."""
        reference = self._pending or self._spec.mailbox.next_event.remote(self._name, True)
        self._pending = reference
        while True:
            if ray.wait([reference], timeout=POLL_S)[0]:
                self._pending = None
                event: Report | Outcome | Ready = ray.get(reference)
                return event
            outcome = self._watch_group()
            if outcome is not None:
                return outcome

    def _watch_group(self) -> Outcome | None:
        """An outcome when waiting makes no sense: the group does not come up, or nobody wants it any more."""
        assert self._job is not None
        assert self._thread is not None
        if not self._thread.is_alive():
            raise RuntimeError(f"the worker group of {self._name} ended: {self._error or 'without an error'}")
        cause = self._call("cause")
        if self._lost_at is None:
            self._lost_at = time.monotonic() if cause else None
            return None
        if ray.get(self._spec.mailbox.stopping.remote()):
            return Outcome(self._job, result={"status": "interrupted", "reason": INTERRUPTED})
        if time.monotonic() - self._lost_at > self._spec.start_timeout_s:
            limit = f"no worker group within {self._spec.start_timeout_s:.0f} s"
            return Outcome(self._job, error=f"{limit}: {cause or 'its resources are taken'}", unplaced=True)
        return None

    def _welcome(self, ready: Ready) -> Outcome | None:
        """A worker group has announced itself: send the job (again), or give it up."""
        assert self._job is not None
        self._lost_at = None
        if ready.lost:
            self._job = dataclasses.replace(self._job, attempt=self._job.attempt + 1)
        if self._job.attempt > self._spec.max_retries:
            cause = ready.cause or "a worker died"
            return Outcome(
                self._job, error=f"{cause} ({self._job.attempt} times, last on {ready.node})", node=ready.node
            )
        self._call("send", self._job)
        return None

    def _done(self, outcome: Outcome) -> dict[str, Any]:
        self._job = None
        return {"done": True, "outcome": outcome}

    def _finish_current(self, reason: str) -> None:
        """Stop a job that Tune has given up on and wait for its end, so that no two jobs ever run in the slot."""
        if self._job is None:
            return
        if self._lost_at is None and self._call("withdraw", reason):
            while not isinstance(self._next_event(), Outcome):
                pass
        self._job = None
