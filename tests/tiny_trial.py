"""A trial of a second, and listeners for it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from posttrain.config import TrialConfig, merge
from posttrain.data import Splits, prepare
from posttrain.models import clip_of, describe
from posttrain.training.observer import EvaluationRecord, StepRecord
from posttrain.training.video_bench import VideoBench

CONFIG = {
    "name": "trial",
    "model": {"checkpoint": "tiny:predict2.5"},
    "strategy": {"type": "lora", "rank": 4, "alpha": 6.0, "dropout": 0.1},
    "data": {
        "sources": {"fixed": {"path": "demo:shapes/fixed-high"}, "tracking": {"path": "demo:shapes/tracking-high"}},
        "stages": [{"name": "all", "fraction": 1.0}],
        "augmentations": [{"type": "caption_dropout", "probability": 0.2}],
    },
    "training": {"steps": 12, "batch_size": 4, "learning_rate": 1e-2, "precision": "fp32"},
    "evaluation": {
        "every": 4,
        "suites": {"seen": {"source": "fixed", "samples": 3}, "other": {"source": "tracking", "samples": 2}},
        "psnr": {"clips": 1, "sampler_steps": 2},
    },
}

# changes for a trial that trains every weight, with an average beside them
FULL: dict[str, Any] = {"strategy": {"type": "full"}, "training.learning_rate": 3e-4}
AVERAGED: dict[str, Any] = {**FULL, "strategy": {"type": "full", "ema": 0.9}}


def trial_config(changes: Mapping[str, Any] | None = None) -> TrialConfig:
    """The trial with values by dotted path changed; every kind of randomness is on."""
    return merge(TrialConfig.model_validate(CONFIG), dict(changes or {}))


def open_bench(config: TrialConfig, num_samples: int | None = None) -> VideoBench:
    """What a slot keeps warm for trials of this model, precision and data, everything encoded.

    Args:
        num_samples: of each source only so many training samples.
    """
    dataset = prepare(config, clip_of(config.model, describe(config.model.checkpoint)), Path())
    train = {name: samples[:num_samples] for name, samples in dataset.train.items()}
    bench = VideoBench.open(config, Splits(train, dataset.suites), Path(), torch.device("cpu"), None)
    bench.store.encode(bench.samples())
    return bench


@dataclass
class Listener:
    """Keeps what a trial tells.

    `stop_at` answers evaluations by their step; `interrupt_at` counts the questions whether to stop, of which there is
    one for each step and one for each evaluation told again; `on_step_do` sees every training record.
    """

    stop_at: Mapping[int, str] = field(default_factory=dict)
    interrupt_at: int | None = None
    on_step_do: Callable[[StepRecord], None] | None = None
    evaluations: list[EvaluationRecord] = field(default_factory=list)
    steps: list[StepRecord] = field(default_factory=list)
    progress: list[tuple[int, str]] = field(default_factory=list)
    asked: int = 0

    def on_progress(self, step: int, phase: str) -> None:
        self.progress.append((step, phase))

    def on_step(self, record: StepRecord) -> None:
        self.steps.append(record)
        if self.on_step_do is not None:
            self.on_step_do(record)

    def on_evaluation(self, record: EvaluationRecord) -> str | None:
        self.evaluations.append(record)
        return self.stop_at.get(record.step)

    def should_stop(self) -> bool:
        self.asked += 1
        return self.asked == self.interrupt_at
