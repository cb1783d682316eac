"""A trial of seconds on the digits, and its workbench."""

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from posttrain.config import TrialConfig, merge
from posttrain.data import Splits, prepare
from posttrain.training.chat_bench import ChatBench
from tests.chat import SPEC, digits

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


def unlike_answers(folder: Path) -> str:
    """The path of the pictures of digits with answers of one to three words, in a file below `folder`.

    Where all answers have as many tokens, the mean over micro-batches is the mean over tokens.
    """
    answers = itertools.cycle(["{0}", "{0} {0}", "{0} {0} {0}"])
    rows = [
        {
            "id": row.id,
            "image": str(row.images[0]),
            "question": row.turns[-1][1],
            "answer": next(answers).format(row.answer),
        }
        for row in digits("read")
    ]
    file = folder / "unlike.json"
    file.write_text(json.dumps(rows), encoding="utf-8")
    return str(file)


def open_chat_bench(config: TrialConfig) -> ChatBench:
    """What a slot keeps warm for trials of this model and data."""
    dataset = prepare(config, SPEC, Path())
    return ChatBench.open(config, Splits(dataset.train, dataset.suites), Path(), torch.device("cpu"), None)
