"""What travels between the driver, a slot and its workers.

A *job* is one trial (or the preparation) sent into a slot. Every worker of the slot runs the same job function on
it; the function talks to the search through its `Link` alone, so it knows nothing of Ray:

    def train_one(job: Job, link: Link) -> dict:
        for step in ...:
            if link.should_stop():                     # Ctrl-C, on every rank at the same call
                return {"status": "interrupted"}
            reason = link.report(step, {"objective": loss})   # blocks until the scheduler has decided
            if reason:
                return {"status": "stopped", "reason": reason}
        return {"status": "completed", "value": best}

The dictionary that rank 0 returns is the result. Keys that the sweep reads (all others pass through untouched):
`status` (completed | stopped | gated | failed | interrupted; default completed), `value` (the objective; default:
the best reported one), `reason` (a sentence for people). An exception is a failed trial; the slot lives on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

OBJECTIVE = "objective"
"""The key of a report's values that the scheduler and the study read."""

PREPARE = "prepare"
TRIAL = "trial"
"""The kinds of jobs."""

INTERRUPTED = "interrupted"
"""Why the whole sweep stops: Ctrl-C or SIGTERM."""


@dataclass(frozen=True)
class Job:
    """One piece of work for a slot. `attempt` counts from 0 and grows when a worker or a slot died under the job."""

    id: str
    kind: str
    payload: Mapping[str, Any]
    attempt: int = 0


class Link(Protocol):
    """The worker's side of a job's connection to the search."""

    @property
    def rank(self) -> int: ...

    @property
    def world_size(self) -> int: ...

    def report(self, step: int, values: Mapping[str, float]) -> str | None:
        """Report values at a step; returns None to go on, else the scheduler's reason to stop the trial here.

        Every rank calls it at the same step; rank 0's values count. An interrupt is not told here, see `should_stop`.
        """
        ...

    def should_stop(self) -> bool:
        """Whether to write a checkpoint and end as interrupted (cheap; call it once a step, on every rank)."""
        ...

    def note(self, event: Mapping[str, Any]) -> None:
        """Send something small to the driver's display and go on."""
        ...


JobFunction = Callable[[Job, Link], dict[str, Any]]


@dataclass(frozen=True)
class Report:
    """Values that rank 0 reported; the worker waits for the answer."""

    step: int
    values: Mapping[str, float]


@dataclass(frozen=True)
class Outcome:
    """How a job ended: a result of the job function, or an error with its traceback.

    `unplaced` says that the job never ran: its slot got no worker group.
    """

    job: Job
    result: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    traceback: str = ""
    node: str = ""
    unplaced: bool = False

    @property
    def status(self) -> str:
        return "failed" if self.error else str(self.result.get("status", "completed"))

    @property
    def reason(self) -> str:
        return self.error or str(self.result.get("reason", ""))


@dataclass(frozen=True)
class Ready:
    """A worker group announces itself. `lost` is the job it took away with it when it replaces a dead group."""

    node: str
    lost: bool
    cause: str = ""


@dataclass(frozen=True)
class Note:
    """An event for the driver's display."""

    job_id: str
    event: Mapping[str, Any]


SlotEvent = Report | Outcome | Ready
