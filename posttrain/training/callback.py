"""The one callback of a trial: metrics out, evaluations in, checkpoints when due, and the end when asked.

At an evaluation step the order is: measure, write the metrics, write the checkpoint, and only then ask whether to go
on. Whatever kills the process in between, a restart finds a checkpoint together with everything measured up to it.
"""

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from transformers import TrainerControl, TrainerState, TrainingArguments

from posttrain.evaluation.ranks import agree, together
from posttrain.evaluation.suites import Evaluation
from posttrain.training.checkpoints import Checkpoints
from posttrain.training.observer import EVALUATING, TRAINING, EvaluationRecord, Observer, StepRecord
from posttrain.training.records import TrialRecords
from posttrain.training.trainer import LogReader


class TrialCallback(LogReader):
    """Connects a Trainer with an observer and with the trial's files; the outcome is read from its attributes.

    Args:
        drawn: optimizer steps done -> the curves of the mixture that was realised, for the files alone.
    """

    def __init__(
        self,
        observer: Observer,
        evaluate: Callable[[int], Evaluation],
        drawn: Callable[[int], dict[str, float]],
        *,
        evaluate_every: int,
        checkpoints: Checkpoints,
        records: TrialRecords,
        device: torch.device,
    ) -> None:
        self.observer = observer
        self.evaluate = evaluate
        self.drawn = drawn
        self.evaluate_every = evaluate_every
        self.checkpoints = checkpoints
        self.records = records
        self.device = device
        self.stop_reason: str | None = None
        self.diverged: str | None = None
        self.interrupted = False
        self.evaluation_seconds = 0.0
        self._pending: EvaluationRecord | None = None
        self._logged_at = (0, time.perf_counter())

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        self._logged_at = (state.global_step, time.perf_counter())
        self.observer.on_progress(state.global_step, TRAINING)
        return control

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> TrainerControl:
        if not logs or "loss" not in logs:  # the Trainer's closing summary
            return control
        step, since = self._logged_at
        now = time.perf_counter()
        values = self.curves(logs)
        values["train/steps_per_second"] = (state.global_step - step) / max(now - since, 1e-9)
        self._logged_at = (state.global_step, now)
        with together():
            self.records.step(StepRecord(state.global_step, {**values, **self.drawn(state.global_step)}))
        self.observer.on_step(StepRecord(state.global_step, values))
        if agree(not math.isfinite(values["train/loss"]), self.device):
            self.diverged = f"diverged: the training loss is {values['train/loss']} at step {state.global_step}"
            control.should_training_stop = True
        return control

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        step = state.global_step
        if step % self.evaluate_every == 0 or step == state.max_steps:
            self.observer.on_progress(step, EVALUATING)
            self._measure(step)
            control.should_save = self.diverged is None
            control.should_training_stop = control.should_training_stop or self.diverged is not None
        elif agree(self.observer.should_stop(), self.device):
            self.interrupted = True
            control.should_save = True
        self.observer.on_progress(step, TRAINING)
        return control

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        control.should_training_stop = control.should_training_stop or self.interrupted
        if self._pending is not None:
            record, self._pending = self._pending, None
            if self.tell(record):
                control.should_training_stop = True
        return control

    def tell(self, record: EvaluationRecord) -> bool:
        """Hands an evaluation to the observer; True when the trial is to stop, for a reason or by interruption."""
        reason = self.observer.on_evaluation(record)
        if agree(reason is not None, self.device):
            self.stop_reason = reason or "stopped by the scheduler"
        elif agree(self.observer.should_stop(), self.device):
            self.interrupted = True
        return self.stop_reason is not None or self.interrupted

    def _measure(self, step: int) -> None:
        started = time.perf_counter()
        evaluation = self.evaluate(step)
        self.evaluation_seconds += time.perf_counter() - started
        with together():
            self.records.evaluation(step, evaluation)
        broken = [name for name, value in evaluation.values.items() if not math.isfinite(value)]
        if broken:
            self.diverged = f"diverged: {broken[0]} is {evaluation.values[broken[0]]} at step {step}"
            return
        self.checkpoints.values = evaluation.values
        self._pending = EvaluationRecord(step, evaluation.values)
        # time spent measuring is not training time
        self._logged_at = (self._logged_at[0], self._logged_at[1] + time.perf_counter() - started)
