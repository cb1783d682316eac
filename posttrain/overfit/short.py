"""The short training that every gate begins with: the few samples, over and over, watched from step to step."""

import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerControl, TrainerState, TrainingArguments

from posttrain.config import TrialConfig
from posttrain.data import Stage
from posttrain.evaluation.ranks import agree, world
from posttrain.models.base import Trainable
from posttrain.paths import TrialPaths
from posttrain.strategies import Strategy
from posttrain.strategies.state import whole
from posttrain.training.draws import Draws
from posttrain.training.observer import StopRequested
from posttrain.training.train import MAX_LOG_EVERY, fit
from posttrain.training.trainer import LogReader
from posttrain.training.workbench import Workbench

SEED = 0
OnStep = Callable[[int, int], None]


def shortened(config: TrialConfig, **training: Any) -> TrialConfig:
    """The trial with the gate's length, batch and seed, and everything else its own, but for `training`.

    The gate has no stages: its learning rate is that of the longest one.
    """
    assert config.overfit is not None
    num_workers = world()[1]
    share = -(-config.overfit.batch_size // num_workers)  # rounded up to what the workers can split evenly
    micro = math.gcd(share, config.training.micro_batch_size or share)
    changes = {
        "steps": config.overfit.steps,
        "batch_size": share * num_workers,
        "micro_batch_size": micro,
        "seed": SEED,
        "learning_rate": config.training.learning_rate * _factor(config),
        **training,
    }
    # losses are means over the same steps whatever the trial's evaluation, which is not part of the verdict's key
    evaluation = config.evaluation.model_copy(update={"every": MAX_LOG_EVERY})
    sections = {
        "training": config.training.model_copy(update=changes),
        "evaluation": evaluation,
        # what is learned by heart, and measured, are the samples as they are, each with its caption
        "data": config.data.model_copy(update={"augmentations": ()}),
    }
    return config.model_copy(update=sections)


def _factor(config: TrialConfig) -> float:
    longest = max(config.data.stages or (), key=lambda stage: stage.fraction, default=None)
    return 1.0 if longest is None else longest.learning_rate_factor


def train_briefly(
    short: TrialConfig, bench: Workbench, strategy: Strategy, samples: Sequence[Any], watch: "Watch"
) -> int:
    """Trains the attached model on the samples; returns the steps done."""
    stages = [Stage("gate", short.training.steps * short.training.batch_size, {"few": 1.0})]
    draws = Draws(short.training.seed, stages, {"few": samples})
    with tempfile.TemporaryDirectory() as scratch:
        return fit(short, bench, strategy, draws, TrialPaths(Path(scratch)), watch, checkpoints=None)


def trainable(model: Trainable) -> list[torch.Tensor]:
    """Copies of all parameters that train, on the CPU."""
    networks = model.modules.values()
    return [whole(value) for network in networks for value in network.parameters() if value.requires_grad]


def moved(before: Sequence[torch.Tensor], model: Trainable) -> bool:
    """Whether any parameter differs from its copy."""
    return any(not torch.equal(a, b) for a, b in zip(before, trainable(model), strict=True))


def number(value: float) -> float | None:
    """What JSON can hold: a model whose loss is finite may still sample NaN."""
    return value if math.isfinite(value) else None


class Watch(LogReader):
    """Remembers losses and curves, ends the training at a loss that is not finite, and breaks it off when asked."""

    def __init__(
        self, should_stop: Callable[[], bool], device: torch.device, on_step: OnStep = lambda *_: None
    ) -> None:
        self.losses: list[float] = []
        self.history: list[dict[str, float]] = []
        self._should_stop = should_stop
        self._device = device
        self._on_step = on_step

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        self._on_step(state.global_step, state.max_steps)
        if agree(self._should_stop(), self._device):
            raise StopRequested
        return control

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> TrainerControl:
        if logs and "loss" in logs:
            self.losses.append(float(logs["loss"]))
            self.history.append(self.curves(logs))
            control.should_training_stop = control.should_training_stop or not math.isfinite(self.losses[-1])
        return control
