"""An `Events` that keeps what it hears."""

from collections.abc import Mapping
from typing import Any


class Recorder:
    def __init__(self) -> None:
        self.trials: list[tuple[str, str, int | None, str]] = []
        self.progress: list[tuple[str, Mapping[str, Any]]] = []
        self.notes: list[str] = []

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
        self.trials.append((trial_id, status, step, reason))

    def on_progress(self, job_id: str, event: Mapping[str, Any]) -> None:
        self.progress.append((job_id, event))

    def on_note(self, text: str) -> None:
        self.notes.append(text)

    def last(self, trial_id: str) -> str:
        return [status for id_, status, _, _ in self.trials if id_ == trial_id][-1]
