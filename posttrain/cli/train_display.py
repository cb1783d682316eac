"""What `posttrain train` shows: a line that ticks on a terminal, plain lines elsewhere, and a line per evaluation."""

import time
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from rich.console import Console
from rich.text import Text

from posttrain.cli.progress import LINES_EVERY_S, Doing, clock, ticking
from posttrain.paths import RunPaths
from posttrain.reports import numbers
from posttrain.tracking.columns import BASELINE_ID
from posttrain.tracking.results import read_result

# What is shown for the phases of the trial's notes, see `posttrain.cli.activity`.
_ACTIVITIES = {"gate": "gate: training on a few samples", "training": "training", "evaluating": "evaluating"}
_IN_GATE = "gate"
_STOPPING = "stopping at the next step, with a checkpoint; once more to stop at once"
_OBJECTIVE = "objective"  # the name under which the objective is reported a second time


class TrainDisplay:
    """Shows one trial; a context manager around the whole of it."""

    def __init__(self, console: Console, metric: str, steps: int) -> None:
        self.console = console
        self._metric = metric
        self._steps = steps
        self._run: RunPaths | None = None
        self._began = time.monotonic()
        self._doing: Doing | None = None
        self._told = {"evaluating"}
        self._objective = ""
        self._is_stopping: Callable[[], bool] = lambda: False
        self._has_told_stopping = False
        self._progress = _TrainingProgress(steps)
        self._last_line_s = time.monotonic()
        self._shown = ticking(console, self._status, self._beat)

    def __enter__(self) -> "TrainDisplay":
        self._shown.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._shown.__exit__(None, None, None)

    def watch(self, run: RunPaths) -> None:
        """Learns where the run lies."""
        self._run = run

    def note(self, text: str) -> None:
        """A line that stays."""
        self._last_line_s = time.monotonic()
        self.console.print(Text(text), highlight=False, soft_wrap=not self.console.is_terminal)

    def trial(self, trial_id: str, status: str) -> None:
        """The trial began or ended, which the lines tell already."""

    def progress(self, trial_id: str, event: Mapping[str, Any]) -> None:
        """A note of the job."""
        if "evaluated" in event:
            self._objective = self._measured(self._metric, event["evaluated"])
            self.note(self._evaluation_line(event["step"], event["evaluated"]))
        elif "train/loss" in event:
            self._progress.on_step(event)
        elif "phase" in event:
            self._enter(event["phase"], event)
        elif "is_stopping" in event:
            self._is_stopping = event["is_stopping"]
        elif "doing" in event:
            self._begin(str(event["doing"]), event.get("done"), event.get("total"), is_told=trial_id != "data")
        elif "text" in event:
            self.note(str(event["text"]))

    def _enter(self, phase: str, event: Mapping[str, Any]) -> None:
        """A phase is told when it begins first; the steps of the training are shown by its records."""
        count = (event.get("step"), event.get("steps")) if phase == _IN_GATE else (None, None)
        self._begin(_ACTIVITIES[phase], *count, unit="step", is_told=phase not in self._told)
        self._told.add(phase)

    def _begin(
        self, text: str, done: int | None = None, total: int | None = None, *, unit: str = "", is_told: bool = True
    ) -> None:
        before = self._doing
        self._doing = Doing(text, time.monotonic(), done, total, unit).since(before) if text else None
        is_new = before is None or before.text != text
        if text and is_new and is_told and not self.console.is_interactive:
            self.note(text)

    def _beat(self) -> None:
        if self._is_stopping() and not self._has_told_stopping:
            self._has_told_stopping = True
            self.note(_STOPPING)
        elif time.monotonic() - self._last_line_s > LINES_EVERY_S:
            self.note(self._status().plain)

    def _status(self) -> Text:
        now, doing = time.monotonic(), self._doing
        parts = [f"{clock(now - self._began)} elapsed", "" if doing is None else doing.line(now)]
        parts += [*self._progress.parts(), self._objective, _STOPPING if self._is_stopping() else ""]
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
