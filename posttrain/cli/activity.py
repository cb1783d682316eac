"""What a sweep is doing right now, from the notes of its driver and workers: the preparation, and each trial's phase.

Notes are small dictionaries, with the id of the trial they are about, or `prepare`:

    {"doing": "encoding clips", "done": 12, "total": 96}    what goes on, the count may be left out; "" when it ended
    {"phase": "gate", "step": 20, "steps": 80}              what a trial is at: gate, training, evaluating
    {"train/steps_per_second": 3.2}                         a training record
    {"slots": 2}                                            how many trials run at once

No clock is read here: every method gets the time.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from posttrain.cli.progress import Doing, clock
from posttrain.reports.time_left import Costs, UnderWay, seconds_left
from posttrain.reports.trials import SweepView, TrialRow

_NOT_RUNNING = {"waiting", "retrying", "interrupted"}


@dataclass
class _Running:
    """A trial that this start runs."""

    phase: str = "starting"
    step: int | None = None
    steps: int | None = None
    first_step: int = 0
    began: float = 0.0
    speed: float | None = None

    def enter(self, phase: str, step: int | None, steps: int | None, now: float) -> None:
        training = ("training", "evaluating")
        if phase != self.phase and not (phase in training and self.phase in training):
            self.first_step, self.began, self.speed = step or 0, now, None
        self.phase, self.step, self.steps = phase, step, steps

    def under_way(self, now: float) -> UnderWay:
        return UnderWay(self.phase, self.step or 0, self.steps or 0, now - self.began, self.first_step)


@dataclass
class SweepActivity:
    """See the module's docstring. `began` is when the command began; `node` is this machine's name."""

    began: float
    node: str
    slots: int = 1
    _doing: dict[str, Doing] = field(default_factory=dict)
    _running: dict[str, _Running] = field(default_factory=dict)
    _ended: set[str] = field(default_factory=set)

    def hear(self, job_id: str, note: Mapping[str, Any], now: float) -> bool:
        """Takes a note; returns whether another activity has begun."""
        self.slots = note.get("slots", self.slots)
        trial = self._running.get(job_id)
        if trial is not None and "phase" in note:
            self._doing.pop(job_id, None)
            trial.enter(note["phase"], note.get("step"), note.get("steps"), now)
        if trial is not None and "train/steps_per_second" in note:
            trial.speed = float(note["train/steps_per_second"])
        return self._do(job_id, note, now) if "doing" in note else False

    def _do(self, job_id: str, note: Mapping[str, Any], now: float) -> bool:
        before, text = self._doing.pop(job_id, None), str(note["doing"])
        if not text:
            return False
        doing = Doing(text, now, note.get("done"), note.get("total"), note.get("unit", ""))
        self._doing[job_id] = doing.since(before)
        return before is None or before.text != text

    def trial(self, trial_id: str, status: str, now: float) -> None:
        """Takes what became of a trial."""
        self._doing.pop(trial_id, None)
        self._running.pop(trial_id, None)
        if status == "running":
            self._running[trial_id] = _Running(began=now)
            self._doing[trial_id] = Doing("starting", now)
        elif status not in _NOT_RUNNING:
            self._ended.add(trial_id)

    def is_running(self, trial_id: str) -> bool:
        """Whether this start runs the trial now."""
        return trial_id in self._running

    def overlaid(self, view: SweepView) -> SweepView:
        """Returns the view with what each running trial is at; one that no slot has taken up yet is waiting."""
        return dataclasses.replace(view, rows=tuple(map(self._overlaid, view.rows)))

    def _overlaid(self, row: TrialRow) -> TrialRow:
        if row.status != "running" or row.is_baseline:
            return row
        trial = self._running.get(row.id)
        if trial is None:
            return dataclasses.replace(row, phase="waiting")
        if trial.phase == "starting":
            return dataclasses.replace(row, phase="starting")
        return dataclasses.replace(row, phase=trial.phase, step=trial.step, phase_steps=trial.steps)

    def seconds_left(self, view: SweepView, now: float) -> float | None:
        """Returns the time left by trials that this start has ended, or else earlier ones of this machine."""
        if view.planned is None:
            return None
        ended = [row for row in view.trials if row.status not in ("running", "interrupted")]
        of_this_start = [row for row in ended if row.id in self._ended]
        on_this_machine = [row for row in ended if row.node == self.node]
        costs = Costs.of(of_this_start, view.steps) or Costs.of(on_this_machine, view.steps)
        running = [trial.under_way(now) for trial in self._running.values()]
        waiting = max(0, view.planned - len(ended) - len(running))
        return seconds_left(costs, running, waiting, self.slots)

    def line(self, view: SweepView | None, now: float, *, with_trials: bool = False) -> str:
        """Returns one line: `2:05 elapsed | ...`. `with_trials` says what each trial is at, as the table does."""
        parts = [f"{clock(now - self.began)} elapsed", *self._doing_lines(now)]
        if with_trials and view is not None:
            parts += self._trials_line(view)
        speeds = [t.speed for t in self._running.values() if t.phase == "training" and t.speed is not None]
        if speeds:
            parts.append(f"{sum(speeds):.1f} steps/s over {len(speeds)} trial{'s' if len(speeds) > 1 else ''}")
        left = None if view is None or not self._running else self.seconds_left(view, now)
        if left is not None:
            parts.append(f"about {clock(left)} left")
        return " | ".join(parts)

    def _doing_lines(self, now: float) -> Iterator[str]:
        for job_id, doing in self._doing.items():
            yield f"{job_id}: {doing.line(now)}" if job_id in self._running else doing.line(now)

    def _trials_line(self, view: SweepView) -> Iterator[str]:
        if not self._running:
            return
        ended = sum(1 for row in view.trials if row.status not in ("running", "interrupted"))
        yield f"{ended} of {view.planned} trials ended" if view.planned else f"{ended} trials ended"
        yield ", ".join(f"{trial_id} {_at(trial)}" for trial_id, trial in self._running.items())


def _at(trial: _Running) -> str:
    return trial.phase if trial.step is None else f"{trial.phase} {trial.step}/{trial.steps}"
