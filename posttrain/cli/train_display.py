"""What `posttrain train` shows: a line that ticks on a terminal, plain lines elsewhere, and a line per evaluation."""

import time
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from posttrain.cli.progress import LINES_EVERY_S, TICK_S, Doing, Heartbeat, clock
from posttrain.paths import RunPaths
from posttrain.reports import numbers
from posttrain.tracking.columns import BASELINE_ID
from posttrain.tracking.results import read_result

_PHASES = {"gate": "gate: training on a few samples", "evaluating": "evaluating"}
_OBJECTIVE = "objective"  # the name under which the objective is reported a second time


class TrainDisplay:
    """Shows one trial; a context manager around the whole of it."""

    def __init__(self, console: Console, metric: str, steps: int) -> None:
        self.console = console
        self._metric = metric
        self._steps = steps
        self._run: RunPaths | None = None
        self._began = self._printed = time.monotonic()
        self._doing: Doing | None = None
        self._progress = _TrainingProgress(steps)
        self._objective = ""
        self._shown: Live | Heartbeat | None = None

    def __enter__(self) -> "TrainDisplay":
        if self.console.is_interactive:
            self._shown = Live(
                get_renderable=self._status, console=self.console, refresh_per_second=1 / TICK_S, transient=True
            )
        else:
            self._shown = Heartbeat(self._beat, TICK_S)
        self._shown.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown is not None:
            self._shown.__exit__(None, None, None)
            self._shown = None

    def watch(self, run: RunPaths) -> None:
        """Learns where the run lies."""
        self._run = run

    def note(self, text: str) -> None:
        """A line that stays."""
        self._printed = time.monotonic()
        self.console.print(Text(text), highlight=False, soft_wrap=True)

    def trial(self, trial_id: str, status: str) -> None:
        """The trial began or ended, which the lines tell already."""

    def progress(self, trial_id: str, event: Mapping[str, Any]) -> None:
        """A note of the job."""
        if "evaluated" in event:
            self._objective = self._measured(self._metric, event["evaluated"])
            self.note(self._evaluation_line(event["step"], event["evaluated"]))
        elif "doing" in event:
            self._do(event["doing"], event.get("done"), event.get("total"), event.get("unit", ""))
        elif event.get("phase") in _PHASES:
            self._do(_PHASES[event["phase"]], event.get("step"), event.get("steps"), "step")
        elif "step" in event:
            self._do("")
            self._progress.on_step(event)
        elif "text" in event:
            self.note(str(event["text"]))

    def _do(self, text: str, done: int | None = None, total: int | None = None, unit: str = "") -> None:
        before, now = self._doing, time.monotonic()
        if not text:
            self._doing = None
            return
        is_new = before is None or before.text != text
        self._doing = Doing(text, now if is_new or before is None else before.began, done, total, unit)
        if is_new and text != _PHASES["evaluating"] and not self.console.is_interactive:
            self.note(text)

    def _beat(self) -> None:
        if time.monotonic() - self._printed > LINES_EVERY_S:
            self.note(self._status().plain)

    def _status(self) -> Text:
        doing, now = self._doing, time.monotonic()
        parts = [f"{clock(now - self._began)} elapsed", "" if doing is None else doing.line(now)]
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
        self._record: Mapping[str, float] = {}
        self._first: tuple[int, float] | None = None
        self._last = (0, 0.0)

    def on_step(self, event: Mapping[str, Any]) -> None:
        """Hears of a step that is done, or of a training record."""
        if "train/loss" in event:
            self._record = event
        self._last = (int(event["step"]), time.monotonic())
        self._first = self._first or self._last

    def parts(self) -> list[str]:
        """What is known, the step first; nothing before the first step."""
        if self._first is None:
            return []
        parts = [f"step {self._last[0]}/{self._steps}"]
        if self._record:
            parts.append(f"train/loss {numbers.significant(self._record['train/loss'])}")
            parts.append(f"{self._record['train/steps_per_second']:.3g} steps/s")
        left = self._seconds_left()
        return parts if left is None else [*parts, f"about {clock(left)} left"]

    def _seconds_left(self) -> float | None:
        assert self._first is not None
        (first, began), (step, at) = self._first, self._last
        if step == first or step >= self._steps:
            return None
        return max(0.0, (self._steps - step) * (at - began) / (step - first) - (time.monotonic() - at))
