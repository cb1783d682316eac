"""The built-in vision-language bases, and rows of the digits to ask them about."""

from functools import cache
from pathlib import Path

import torch

from posttrain.config import SourceConfig
from posttrain.data import Row, RowSpec, scan
from posttrain.models import tiny
from posttrain.models.vlm import VisionLanguageModel

SPEC = RowSpec(max_frames=4, fps=2.0)


def load(name: str) -> VisionLanguageModel:
    """A built-in base in float32 on the CPU."""
    torch.set_num_threads(1)
    return VisionLanguageModel.load(tiny.resolve(name), dtype=torch.float32, device=torch.device("cpu"), spec=SPEC)


@cache
def digits(folder: str) -> tuple[Row, ...]:
    """The rows of one folder of demo:digits."""
    return tuple(scan(folder, SourceConfig(path=f"demo:digits/{folder}"), SPEC, Path()).kept)


def unlike(rows: tuple[Row, ...], count: int) -> list[Row]:
    """The first rows whose answers differ from each other."""
    return list({row.answer: row for row in reversed(rows)}.values())[:count]
