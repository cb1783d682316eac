"""The uninterrupted trial that others are compared with."""

import pytest

from posttrain.paths import TrialPaths
from posttrain.training.train import train
from posttrain.training.video_bench import VideoBench
from tests.tiny_trial import Listener, trial_config


@pytest.fixture(scope="session")
def straight(bench: VideoBench, tmp_path_factory: pytest.TempPathFactory) -> TrialPaths:
    """`trial_config()` from beginning to end: 12 steps, measured at 4, 8 and 12."""
    paths = TrialPaths(tmp_path_factory.mktemp("straight"))
    assert train(trial_config(), bench, paths, Listener()).status == "completed"
    return paths
