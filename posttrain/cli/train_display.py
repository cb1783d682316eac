"""What `posttrain train` shows: a line that ticks on a terminal, plain lines elsewhere, and a line per evaluation."""

import threading
import time
from collections.abc import Mapping
from functools import cached_property
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from posttrain.cli.progress import clock
from posttrain.paths import RunPaths
from posttrain.reports import numbers
from posttrain.tracking.columns import BASELINE_ID
from posttrain.tracking.results import read_result

_LINE_EVERY_S = 10.0  # plain output is never silent for longer
_ACTIVITIES = {"gate": "gate: training on a few samples", "training": "training", "gated": "gated"}
_OBJECTIVE = "objective"  # the name under which the objective is reported a second time


class TrainDisplay:
    """Shows one trial; a context manager around the whole of it."""

    def __init__(self, console: Console, metric: str, steps: int) -> None:
        self.console = console
        self._metric = metric
        self._steps = steps
        self._run: RunPaths | None = None
        self._began = time.monotonic()
        self._activity = "reading the data"
        self._objective = ""
        self._progress = _TrainingProgress(steps)
        self._live = Live(get_renderable=self._status, console=console, refresh_per_second=2, transient=True)
        self._last_line_s = time.monotonic()
        self._ended = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> "TrainDisplay":
        if self.console.is_terminal:
            self._live.start()
        else:
            self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._ticker.is_alive():
            self._ticker.join()
        self._live.stop()

    def watch(self, run: RunPaths) -> None:
        """Learns where the run lies."""
        self._run = run

    def note(self, text: str) -> None:
        """A line that stays."""
        self._last_line_s = time.monotonic()
        self.console.print(Text(text), highlight=False, soft_wrap=True)

    def trial(self, trial_id: str, status: str) -> None:
        """The trial began or ended, which the lines tell already."""

    def refresh(self) -> None:
        """The line ticks by itself."""

    def progress(self, trial_id: str, event: Mapping[str, Any]) -> None:
        """A note of the job."""
        if "evaluated" in event:
            self._objective = self._measured(self._metric, event["evaluated"])
            self.note(self._evaluation_line(event["step"], event["evaluated"]))
        elif "step" in event:
            self._activity = ""
            self._progress.on_step(event)
        elif "doing" in event:
            count = f": {event['done']} of {event['total']}" if "done" in event else ""
            self._activity = f"{event['doing']}{count}"
        elif "status" in event:
            self._begin(_ACTIVITIES.get(event["status"], event["status"]))
        elif "text" in event:
            self._begin(str(event["text"]))

    def _begin(self, activity: str) -> None:
        self._activity = activity
        if not self.console.is_terminal:
            self.note(activity)

    def _tick(self) -> None:
        while not self._ended.wait(1.0):
            if time.monotonic() - self._last_line_s >= _LINE_EVERY_S:
                self.note(self._status().plain)

    def _status(self) -> Text:
        parts = [f"{clock(time.monotonic() - self._began)} elapsed", self._activity]
        parts += [*self._progress.parts(), self._objective]
        return Text(" | ".join(part for part in parts if part), style="dim")

    def _evaluation_line(self, step: int, values: Mapping[str, float]) -> str:
        """`step 40/160 | held_out/loss 0.9120 (base 1.500, -39.2%) | ... | train/loss 0.85`, the objective first."""
        names = sorted((name for name in values if name != _OBJECTIVE), key=lambda name: name != self._metric)
        measured = [self._measured(name, values) for name in names]
        return " | ".join([f"step {step}/{self._steps}", *measured, *self._progress.parts()[1:]])

    def _measured(self, name: str, values: Mapping[str, float]) -> str:
        """`held_out/loss 0.9120 (base 1.500, -39.2%)`; nothing where it was not measured."""
        if name not in values:
            return ""
        value, base = values[name], self._base.get(name)
        text = f"{name} {numbers.significant(value)}"
        if base is None:
            return text
        return f"{text} (base {numbers.significant(base)}, {numbers.difference(value - base, base, compact=True)})"

    @cached_property
    def _base(self) -> dict[str, float]:
        """The base model's metrics, which are measured before anything is trained."""
        result = read_result(self._run.trial(BASELINE_ID)) if self._run is not None else None
        return {name: value["best"] for name, value in (result or {}).get("metrics", {}).items()}


class _TrainingProgress:
    """Steps, loss, speed and time left of a training; speed counts evaluations in, and only this process's steps."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._values: Mapping[str, Any] = {}
        self._first: tuple[int, float] | None = None
        self._last = (0, 0.0)

    def on_step(self, event: Mapping[str, Any]) -> None:
        self._values = event
        self._last = (int(event["step"]), time.monotonic())
        self._first = self._first or self._last

    def parts(self) -> list[str]:
        if self._first is None:
            return []
        step = self._last[0]
        parts = [f"step {step}/{self._steps}", f"train/loss {numbers.significant(self._values['train/loss'])}"]
        parts.append(f"{self._values['train/steps_per_second']:.3g} steps/s")
        left = self._seconds_left()
        return parts if left is None else [*parts, f"about {clock(left)} left"]

    def _seconds_left(self) -> float | None:
        assert self._first is not None
        (first, began), (step, at) = self._first, self._last
        if step == first or step >= self._steps:
            return None
        return max(0.0, (self._steps - step) * (at - began) / (step - first) - (time.monotonic() - at))
