"""The quickstart's own configuration, with the few samples that its gate looks at."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from posttrain.config import TrialConfig, load_sweep, trial_config
from posttrain.data import Sample, Splits, prepare
from posttrain.models import clip_of, describe
from posttrain.overfit.gate import few_samples
from posttrain.paths import shipped
from posttrain.training.workbench import Workbench, open_workbench


@pytest.fixture(scope="session")
def quickstart() -> TrialConfig:
    return trial_config(load_sweep(shipped("sweeps/quickstart.yaml")).config)


@pytest.fixture(scope="session")
def slot(quickstart: TrialConfig, tiny: Path) -> Workbench:
    """A loaded base; encoded is what the gate reads."""
    assert tiny.is_dir()
    dataset = prepare(quickstart, clip_of(quickstart.model, describe(quickstart.model.checkpoint)), Path())
    slot = open_workbench(quickstart, Splits(dataset.train, dataset.suites), Path())
    slot.store.encode(few_samples(quickstart, slot))
    return slot


@pytest.fixture(scope="session")
def few(quickstart: TrialConfig, slot: Workbench) -> Sequence[Sample]:
    return few_samples(quickstart, slot)
