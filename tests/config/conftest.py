"""A whole sweep file, and a way to write variants of it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from posttrain.config import LoadedSweep, load_sweep
from posttrain.errors import ConfigError, Issue

SWEEP = """\
name: demo-lora
model: {checkpoint: tiny:predict2.5}
strategy: {type: lora, rank: 8}
data:
  sources:
    high: {path: demo:shapes/fixed-high, quality: 0.9}
    low: {path: demo:shapes/fixed-low}
  stages:
    - {name: broad, fraction: 0.7}
    - name: focused
      fraction: 0.3
      weights: {high: 1}
  augmentations: [{type: caption_dropout, probability: 0.1}]
training:
  steps: 40
  batch_size: 8
  learning_rate: 1e-4
search_space:
  training.learning_rate: {loguniform: [1e-5, 1e-3]}
  data.stages.broad.weights: {simplex: [high, low], min: 0.1}
  strategy.rank: {choice: [4, 8], when: {strategy.type: lora}}
"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a sweep file after replacing texts in it: `write(("rank: 8", "rank: 9"))`."""

    def write_variant(*replacements: tuple[str, str], text: str = SWEEP, name: str = "sweep.yaml") -> Path:
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write_variant


@pytest.fixture
def sweep(write: Write) -> LoadedSweep:
    return load_sweep(write())


@pytest.fixture
def issues(write: Write) -> Callable[..., list[Issue]]:
    """The issues of a variant of the sweep file."""

    def issues_of(*replacements: tuple[str, str], overrides: tuple[str, ...] = ()) -> list[Issue]:
        with pytest.raises(ConfigError) as caught:
            load_sweep(write(*replacements), overrides)
        return caught.value.issues

    return issues_of
