"""What the driver does at every turn of Tune's loop: pass on an interrupt, show notes, free what dead slots held."""

from __future__ import annotations

import time
from typing import Any, Protocol

import ray
from ray.tune import Callback

from posttrain.errors import EnvironmentFault
from posttrain.sweep.ledger import Events, Ledger
from posttrain.sweep.protocol import INTERRUPTED
from posttrain.sweep.reaper import Reaper

REAP_EVERY_S = 2.0


class Interrupt(Protocol):
    asked: bool


class DriverCallback(Callback):  # type: ignore[misc]  # ray ships no usable types
    """Called by Tune in the driver's main thread, about ten times a second."""

    def __init__(self, mailbox: Any, ledger: Ledger, events: Events, interrupt: Interrupt, reaper: Reaper) -> None:
        self._mailbox = mailbox
        self._ledger = ledger
        self._events = events
        self._interrupt = interrupt
        self._reaper = reaper
        self._stopped = False
        self._notes: Any = None
        self._reaped = time.monotonic()

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune keeps a copy of its callbacks that is never restored."""
        return {}

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self._pass_on_interrupt()
        self._show_notes()
        if time.monotonic() - self._reaped > REAP_EVERY_S:
            self._reaped = time.monotonic()
            self._reaper.reap()

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._reaper.reap()

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        self._show_notes()

    def _pass_on_interrupt(self) -> None:
        asked = self._interrupt.asked or self._ledger.fault is not None
        if asked and not self._stopped:
            self._stopped = True
            self._ledger.stopping = True
            self._mailbox.stop_all.remote(INTERRUPTED)
            if self._ledger.num_running:
                self._events.on_note("stopping: trials write a checkpoint and end; once more to stop at once")

    def _show_notes(self) -> None:
        if self._notes is None:
            self._notes = self._mailbox.notes.remote()
        if not ray.wait([self._notes], timeout=0)[0]:
            return
        try:
            notes = ray.get(self._notes)
        except ray.exceptions.RayActorError as error:
            raise EnvironmentFault(
                f"the sweep's mailbox on the driver's node died: {error}; check that every node can "
                "reach this one, and that RAY_AUTH_MODE is the same on all of them"
            ) from error
        self._notes = None
        for note in notes:
            if not self._ledger.is_late(note.job_id, note.event):
                self._events.on_progress(note.job_id, note.event)
