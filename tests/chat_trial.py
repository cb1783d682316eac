"""A trial of seconds on the digits, and its workbench."""

from collections.abc import Mapping
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
    "strategy": {"type": "full"},
    "data": {"sources": {"read": {"path": "demo:digits/read"}, "motion": {"path": "demo:digits/motion"}}},
    "training": {"steps": 6, "batch_size": 8, "learning_rate": 2e-3, "precision": "fp32", "warmup": 0.0},
    "evaluation": {
        "every": 3,
        "suites": {"read": {"source": "read", "samples": 24}, "motion": {"source": "motion", "samples": 4}},
        "answers": {"batch_size": 24},
    },
    "overfit": {"samples": 4, "steps": 40, "batch_size": 8},
}


def chat_config(changes: Mapping[str, Any] | None = None) -> TrialConfig:
    """The trial with values by dotted path changed."""
    return merge(TrialConfig.model_validate(CONFIG), dict(changes or {}))


def open_chat_bench(config: TrialConfig) -> ChatBench:
    """What a slot keeps warm for trials of this model and data."""
    dataset = prepare(config, SPEC, Path())
    return ChatBench.open(config, Splits(dataset.train, dataset.suites), Path(), torch.device("cpu"), None)
