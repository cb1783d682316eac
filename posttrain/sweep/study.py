"""The Optuna study of a sweep: the single truth about what was drawn, what it scored and what is still in flight.

It lives in a journal file that any Optuna tool opens. A trial is told at once and never twice:

    completed         COMPLETE with its objective; PRUNED with the reason where that is not finite, never COMPLETE
    stopped, gated    PRUNED with the reason; TPE learns from pruned trials and ignores failed ones
    failed            FAIL with the reason
    interrupted       stays RUNNING

RUNNING trials that a start finds belong to a driver that was interrupted or killed. They are continued as the same
Optuna trials (same number, same parameters), so that none is lost and none is doubled. The sampler is built anew
for each draw from the sweep's seed and the trial's number: a resumed sweep draws what a straight one draws.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from posttrain.errors import EnvironmentFault

Suggest = Callable[[Trial], dict[str, Any]]
"""Draws a configuration: configuration path -> value, through the trial's suggest methods."""

MakeSampler = Callable[[int], BaseSampler]
"""Trial number -> a fresh sampler."""

# Attribute of the first trial: the configuration that it stands for, kept in the study so that a resume finds it.
_OWN = "own_configuration"
_STATUS = {TrialState.RUNNING: "running", TrialState.COMPLETE: "completed", TrialState.FAIL: "failed"}


@dataclass(frozen=True)
class FirstTrial:
    """The first trial of a new study: the file's own configuration.

    Attributes:
        draws: name in Optuna -> value, the nearest point of the search space; what samplers learn from.
        parameters: configuration path -> the file's own value, in the space or not; what the trial runs with.
    """

    draws: Mapping[str, Any]
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class TrialRecord:
    """A trial as the study knows it. `value` is the objective, `steps` the reported values by step."""

    id: str
    status: str
    parameters: Mapping[str, Any]
    value: float | None
    reason: str
    steps: Mapping[int, float]


def trial_id(number: int) -> str:
    """The sweep's name of the Optuna trial `number`; t0000 is the baseline, which is not in the study."""
    return f"t{number + 1:04d}"


class StudyBook:
    """See the module's docstring. The caller holds the run directory's lock: one driver writes a study at a time."""

    def __init__(
        self,
        journal: Path,
        name: str,
        *,
        mode: str,
        suggest: Suggest,
        make_sampler: MakeSampler,
        first: FirstTrial | None = None,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        _repair(journal)
        storage = JournalStorage(JournalFileBackend(str(journal)))
        direction = "minimize" if mode == "min" else "maximize"
        self._study = optuna.create_study(storage=storage, study_name=name, direction=direction, load_if_exists=True)
        self.mode = mode
        self._suggest = suggest
        self._make_sampler = make_sampler
        self._open: dict[str, Trial] = {}
        if first and not self._study.get_trials(deepcopy=False):
            self._study.enqueue_trial(dict(first.draws), user_attrs={_OWN: dict(first.parameters)})

    def records(self) -> list[TrialRecord]:
        """Every trial of the study, in the order of its number."""
        return [_record(frozen) for frozen in self._drawn()]

    def num_drawn(self) -> int:
        return len(self._drawn())

    def _drawn(self) -> list[FrozenTrial]:
        """All trials but one that is only enqueued."""
        trials = self._study.get_trials(deepcopy=False)
        return [frozen for frozen in trials if frozen.state != TrialState.WAITING]

    def continue_running(self) -> list[TrialRecord]:
        """The trials that an earlier driver left in flight, ready to be reported and told again."""
        running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return [self._continue(frozen) for frozen in running]

    def draw(self) -> TrialRecord:
        """A new trial."""
        self._study.sampler = self._make_sampler(self.num_drawn())
        return self._fill(self._study.ask())

    def report(self, id_: str, step: int, value: float) -> None:
        """An intermediate value; a step that a continued trial repeats keeps its first value."""
        trial = self._open[id_]
        frozen = self._study.get_trials(deepcopy=False)[trial.number]
        if step not in frozen.intermediate_values:
            trial.report(value, step)

    def report_gate(self, id_: str, score: float) -> None:
        """How near a gated trial came (lower is better), as its value at step 0.

        TPE ranks pruned trials by their last step and then by their value: without this all gated ones would look
        alike, and it could not tell in which direction the configurations get better.
        """
        self.report(id_, 0, score if self.mode == "min" else -score)

    def note_node(self, id_: str, node: str) -> None:
        self._open[id_].set_user_attr("node", node)

    def tell(self, id_: str, status: str, value: float | None, reason: str) -> TrialRecord:
        """Close a trial; returns it as the study now has it. `interrupted` leaves it open."""
        if status == "interrupted":
            return self._record_of(id_)
        trial = self._open[id_]
        if status == "completed" and value is None:
            value = self.best_reported(id_)
        state, reason = _state(status, value, reason)
        # A trial that says it has completed, but has no usable objective, is a failed one.
        trial.set_user_attr("status", status if state == TrialState.COMPLETE or status != "completed" else "failed")
        if reason:
            trial.set_user_attr("reason", reason)
        if value is not None and math.isfinite(value) and state != TrialState.COMPLETE:
            trial.set_user_attr("value", value)
        self._study.tell(trial.number, value if state == TrialState.COMPLETE else None, state=state)
        del self._open[id_]
        return _record(self._study.get_trials(deepcopy=False)[trial.number])

    def best_reported(self, id_: str) -> float | None:
        """The best finite intermediate value of a trial."""
        values = [value for value in self._record_of(id_).steps.values() if math.isfinite(value)]
        return (min if self.mode == "min" else max)(values, default=None)

    def _record_of(self, id_: str) -> TrialRecord:
        return _record(self._study.get_trials(deepcopy=False)[int(id_[1:]) - 1])

    def _continue(self, frozen: FrozenTrial) -> TrialRecord:
        self._study.sampler = self._make_sampler(frozen.number)
        return self._fill(Trial(self._study, frozen._trial_id))

    def _fill(self, trial: Trial) -> TrialRecord:
        # A driver killed between ask() and the attribute left a trial with some parameters: suggest() returns those
        # as they are.
        parameters = trial.user_attrs.get("parameters")
        if parameters is None:
            drawn = self._suggest(trial)
            parameters = trial.user_attrs.get(_OWN, drawn)
            trial.set_user_attr("parameters", parameters)
        id_ = trial_id(trial.number)
        self._open[id_] = trial
        return self._record_of(id_)


def _state(status: str, value: float | None, reason: str) -> tuple[TrialState, str]:
    if status == "failed":
        return TrialState.FAIL, reason
    if status != "completed":
        return TrialState.PRUNED, reason
    if value is None:
        return TrialState.FAIL, reason or "the trial ended without ever reporting its objective"
    if not math.isfinite(value):
        return TrialState.PRUNED, reason or f"the objective is not a finite number: {value}"
    return TrialState.COMPLETE, reason


def _record(frozen: FrozenTrial) -> TrialRecord:
    attributes = frozen.user_attrs
    value = frozen.value if frozen.state == TrialState.COMPLETE else attributes.get("value")
    return TrialRecord(
        id=trial_id(frozen.number),
        status=_STATUS.get(frozen.state) or attributes.get("status", "stopped"),
        parameters=attributes.get("parameters", {}),
        value=value,
        reason=attributes.get("reason", ""),
        steps=dict(frozen.intermediate_values),
    )


def _repair(journal: Path) -> None:
    """Undo what a killed driver may have left: a lock nobody holds, and a last line that was written in part."""
    try:
        journal.parent.mkdir(parents=True, exist_ok=True)
        journal.with_name(journal.name + ".lock").unlink(missing_ok=True)
        if not journal.exists():
            return
        with journal.open("rb+") as file:
            content = file.read()
            whole = content.rfind(b"\n") + 1
            if whole != len(content):
                file.truncate(whole)
                os.fsync(file.fileno())
    except OSError as error:
        raise EnvironmentFault(f"{journal}: cannot open the study: {error.strerror or error}") from error
    for number, line in enumerate(content[:whole].splitlines(), start=1):
        if not _is_entry(line):
            raise EnvironmentFault(
                f"{journal}:{number}: this line is damaged, so the study cannot be read; put back a copy of the file, "
                "or move it away: trials that have ended are then taken from their result.json"
            )


def _is_entry(line: bytes) -> bool:
    try:
        entry = json.loads(line)
    except ValueError:
        return False
    return isinstance(entry, dict) and "op_code" in entry
