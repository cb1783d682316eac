"""A trial of seconds on the digits, its workbench, and what trains every weight of a copy."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from posttrain.config import TrialConfig, merge
from posttrain.data import Splits, prepare
from posttrain.models.base import Trainable
from posttrain.strategies import STRATEGIES
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
    },
    "overfit": {"samples": 4, "steps": 40, "batch_size": 8},
}


class Everything:
    """Trains every weight of a copy; stands in for `full` where that is not registered."""

    def __init__(self, config: Any) -> None:
        self._base: torch.nn.Module | None = None

    def attach(self, model: Trainable, seed: int) -> list[torch.nn.Parameter]:
        self._base = model.modules[""]
        model.replace("", copy.deepcopy(self._base).requires_grad_(True))
        return list(model.modules[""].parameters())

    def detach(self, model: Trainable) -> None:
        assert self._base is not None
        model.replace("", self._base)

    def save(self, model: Trainable, folder: Path) -> None:
        network: Any = model.modules[""]
        network.save_pretrained(folder)

    def load(self, model: Trainable, folder: Path) -> None:
        network: Any = model.modules[""]
        # names in the file are the published ones, which are not always those of the module
        saved = type(network).from_pretrained(folder, dtype=torch.float32)
        network.load_state_dict(saved.state_dict())


STRATEGIES.setdefault("full", Everything)  # type: ignore[arg-type]


def chat_config(changes: Mapping[str, Any] | None = None) -> TrialConfig:
    """The trial with values by dotted path changed."""
    return merge(TrialConfig.model_validate(CONFIG), dict(changes or {}))


def open_chat_bench(config: TrialConfig) -> ChatBench:
    """What a slot keeps warm for trials of this model and data."""
    dataset = prepare(config, SPEC, Path())
    return ChatBench.open(config, Splits(dataset.train, dataset.suites), Path(), torch.device("cpu"), None)
