"""A trial of reinforcement learning in seconds: digits with choices, answered by a base that is right half the time."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch

from posttrain.config import TrialConfig, merge
from posttrain.data import Splits, prepare
from posttrain.training.chat_bench import ChatBench
from tests.chat import SPEC

CONFIG = {
    "name": "trial",
    "model": {"checkpoint": "tiny:qwen2.5-vl", "family": "vlm"},
    "strategy": {"type": "rl", "generations": 4, "max_completion_tokens": 20},
    "data": {"sources": {"choice": {"path": "demo:digits/choice"}}},
    "training": {
        "steps": 6, "batch_size": 4, "learning_rate": 1e-3, "precision": "fp32", "warmup": 0.0,
        "schedule": "constant", "weight_decay": 0.0,
    },
    "evaluation": {
        "every": 3, "suites": {"held_out": {"source": "choice", "samples": 24}}, "answers": {"batch_size": 24},
    },
    "overfit": {"samples": 8, "steps": 40, "batch_size": 4},
}  # fmt: skip


def rl_config(changes: Mapping[str, Any] | None = None) -> TrialConfig:
    """The trial with values by dotted path changed."""
    return merge(TrialConfig.model_validate(CONFIG), dict(changes or {}))


def open_rl_bench(config: TrialConfig) -> ChatBench:
    """A bench that no trial has used: what it holds in float32 would show beside workers that start in float64."""
    torch.set_num_threads(1)
    dataset = prepare(config, SPEC, Path())
    return ChatBench.open(config, Splits(dataset.train, dataset.suites), Path(), torch.device("cpu"), None)


@cache
def rl_bench(checkpoint: str = "tiny:qwen2.5-vl", precision: str = "fp32") -> ChatBench:
    """What a slot keeps warm for trials of this model and data."""
    return open_rl_bench(rl_config({"model.checkpoint": checkpoint, "training.precision": precision}))
