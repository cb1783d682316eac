"""The quickstart's own configuration, with the few samples that its gate looks at."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from posttrain.config import TrialConfig, load_sweep, trial_config
from posttrain.data import Sample, Splits, prepare
from posttrain.models import clip_of, describe
from posttrain.overfit.gate import few_samples
from posttrain.paths import shipped
from posttrain.training.video_bench import VideoBench


@pytest.fixture(scope="session")
def quickstart() -> TrialConfig:
    return trial_config(load_sweep(shipped("sweeps/quickstart.yaml")).config)


@pytest.fixture(scope="session")
def slot(quickstart: TrialConfig, tiny: Path) -> VideoBench:
    """A loaded base; encoded is what the gate reads."""
    assert tiny.is_dir()
    dataset = prepare(quickstart, clip_of(quickstart.model, describe(quickstart.model.checkpoint)), Path())
    slot = VideoBench.open(quickstart, Splits(dataset.train, dataset.suites), Path(), torch.device("cpu"), None)
    slot.store.encode(few_samples(quickstart, slot))
    return slot


@pytest.fixture(scope="session")
def few(quickstart: TrialConfig, slot: VideoBench) -> Sequence[Sample]:
    return few_samples(quickstart, slot)
