"""The mailbox: where the driver, the slots and their workers leave messages for each other.

One small asynchronous Ray actor serves the whole sweep (one process, no torch). Each slot has a desk:

    slot    -- send(job) -->  desk  -- take() -->    every rank
    slot    <-- next_event -- desk  <-- report() --  rank 0, which waits until the slot asks for the next event
    driver  -- stop(job) -->  desk  -- the answer to report(): the scheduler's decision
    driver  -- stop_all() --> desk  -- watch() -->   rank 0's should_stop(): an interrupt

A worker group has a number (`group`), agreed by its ranks when they start. What a dead group sent or left behind is
told apart by it: `announce` of a new group clears the desk, and calls that carry an old number are answered as
superseded.

The class is plain asyncio code; Ray only turns it into an actor, so that tests run it without Ray.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from posttrain.sweep.protocol import Job, Note, Outcome, Ready, Report, SlotEvent

SUPERSEDED = "superseded: another worker group has taken this trial"


@dataclass
class _Desk:
    """One slot's state. `serial` numbers the jobs sent; `taken` says that a rank has picked the current one up."""

    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    group: int = 0
    node: str = ""
    serial: int = 0
    job: Job | None = None
    taken: bool = False
    waiting: bool = False  # rank 0 stands in report()
    stop: str | None = None  # the scheduler's decision on the current job
    interrupt: str | None = None
    ended: bool = False
    cause: str = ""
    events: deque[SlotEvent] = field(default_factory=deque)

    def current(self, group: int, serial: int) -> bool:
        return self.group == group and self.serial == serial and self.job is not None


class Mailbox:
    """See the module's docstring. Every method is called through Ray, concurrently."""

    def __init__(self) -> None:
        self._desks: dict[str, _Desk] = {}
        self._notes: deque[Note] = deque(maxlen=10_000)
        self._noted = asyncio.Event()
        self._stop_all: str | None = None

    def _desk(self, slot: str) -> _Desk:
        return self._desks.setdefault(slot, _Desk())

    # -- the workers' side ------------------------------------------------------------------------------------------

    async def announce(self, slot: str, group: int, node: str) -> None:
        """Rank 0 of a new worker group is ready for jobs."""
        desk = self._desk(slot)
        async with desk.changed:
            lost = desk.taken and desk.job is not None
            desk.group, desk.node = group, node
            desk.job, desk.taken, desk.waiting = None, False, False
            desk.events.clear()
            desk.events.append(Ready(node=node, lost=lost, cause=desk.cause))
            desk.cause = ""
            desk.changed.notify_all()

    async def take(self, slot: str, group: int, after: int) -> tuple[int, Job] | None:
        """The next job with a serial above `after`; None when the slot has ended."""
        desk = self._desk(slot)
        async with desk.changed:
            await desk.changed.wait_for(
                lambda: desk.ended or (desk.group == group and desk.job is not None and desk.serial > after)
            )
            if desk.ended or desk.job is None:
                return None
            desk.taken = True
            return desk.serial, desk.job

    async def report(self, slot: str, group: int, serial: int, report: Report) -> str | None:
        """Hand over a report and wait for the decision: None goes on, text is the reason to stop."""
        desk = self._desk(slot)
        async with desk.changed:
            if not desk.current(group, serial):
                return SUPERSEDED
            desk.waiting = True
            desk.events.append(report)
            desk.changed.notify_all()
            await desk.changed.wait_for(lambda: not desk.waiting or not desk.current(group, serial))
            if not desk.current(group, serial):
                return SUPERSEDED
            return desk.stop

    async def finish(self, slot: str, group: int, serial: int, outcome: Outcome) -> None:
        """Rank 0 has ended the job."""
        desk = self._desk(slot)
        async with desk.changed:
            if not desk.current(group, serial):
                return
            desk.job, desk.taken = None, False
            desk.events.append(outcome)
            desk.changed.notify_all()

    async def watch(self, slot: str, group: int, serial: int) -> str | None:
        """Returns when the job is interrupted (the reason) or is no longer the current one (None)."""
        desk = self._desk(slot)
        async with desk.changed:
            await desk.changed.wait_for(lambda: desk.interrupt is not None or not desk.current(group, serial))
            return desk.interrupt if desk.current(group, serial) else None

    async def note(self, job_id: str, event: Mapping[str, Any]) -> None:
        """Queue an event for the driver's display."""
        self._notes.append(Note(job_id, event))
        self._noted.set()

    async def fault(self, slot: str, cause: str) -> None:
        """Remember why a worker group broke; the next announcement carries it."""
        self._desk(slot).cause = cause

    # -- the slots' side --------------------------------------------------------------------------------------------

    async def send(self, slot: str, job: Job) -> None:
        """Put a job on the desk for all ranks."""
        desk = self._desk(slot)
        async with desk.changed:
            desk.serial += 1
            desk.job, desk.taken, desk.waiting = job, False, False
            desk.stop, desk.interrupt = None, self._stop_all
            desk.events.clear()  # an announcement of an idle group's successor would make the slot send twice
            desk.changed.notify_all()

    async def next_event(self, slot: str, proceed: bool) -> SlotEvent:
        """The next event of the slot's workers. `proceed` lets a waiting report go on first."""
        desk = self._desk(slot)
        async with desk.changed:
            if proceed and desk.waiting:
                desk.waiting = False
                desk.changed.notify_all()
            await desk.changed.wait_for(lambda: bool(desk.events))
            return desk.events.popleft()

    async def cause(self, slot: str) -> str:
        """The last fault of a slot's worker group, if it has not come back since."""
        return self._desk(slot).cause

    async def stopping(self) -> str | None:
        """The reason given to `stop_all`, if it was called."""
        return self._stop_all

    async def withdraw(self, slot: str, reason: str) -> bool:
        """Interrupt the current job of a slot; False when there is none in the workers' hands."""
        desk = self._desk(slot)
        async with desk.changed:
            desk.interrupt = reason
            desk.changed.notify_all()
            return desk.job is not None and desk.taken

    async def end(self, slot: str) -> None:
        """Let the slot's workers return from their loop."""
        desk = self._desk(slot)
        async with desk.changed:
            desk.ended = True
            desk.changed.notify_all()

    # -- the driver's side ------------------------------------------------------------------------------------------

    async def stop(self, job_id: str, reason: str) -> bool:
        """Answer a job's report with the reason to stop; False when no slot has the job.

        The worker hears it when the slot asks for the next event, so that the report's values are not lost.
        """
        for desk in self._desks.values():
            if desk.job is not None and desk.job.id == job_id:
                desk.stop = reason
                return True
        return False

    async def stop_all(self, reason: str) -> None:
        """Interrupt every job, those still to be sent included."""
        self._stop_all = reason
        for desk in self._desks.values():
            async with desk.changed:
                desk.interrupt = reason
                desk.changed.notify_all()

    async def notes(self) -> list[Note]:
        """Wait for notes and take all of them."""
        await self._noted.wait()
        self._noted.clear()
        taken = list(self._notes)
        self._notes.clear()
        return taken
