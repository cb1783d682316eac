"""The uninterrupted trial that others are compared with, and what two gloo workers did: one launch for each model."""

from pathlib import Path

import pytest

from posttrain.paths import TrialPaths
from posttrain.training.train import train
from posttrain.training.video_bench import VideoBench
from tests.float64 import train_in_float64
from tests.tiny_trial import Listener, trial_config
from tests.training import orders
from tests.training.group import run_group


@pytest.fixture(scope="session")
def straight(bench: VideoBench, tmp_path_factory: pytest.TempPathFactory) -> TrialPaths:
    """`trial_config()` from beginning to end: 12 steps, measured at 4, 8 and 12."""
    paths = TrialPaths(tmp_path_factory.mktemp("straight"))
    assert train(trial_config(), bench, paths, Listener()).status == "completed"
    return paths


@pytest.fixture(scope="session")
def video_group(bench: VideoBench, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which two workers trained a diffusion model, one trial of them on from what one worker began."""
    assert bench.samples(), "encoded before the workers start, so that they find everything in the cache"
    folder = tmp_path_factory.mktemp("video_group")
    train_in_float64(trial_config(orders.ALONE), bench, folder / "one-then-fsdp", Listener(interrupt_at=5))
    run_group(orders.VIDEO, folder)
    return folder


@pytest.fixture(scope="session")
def chat_group(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which two workers trained a vision-language model, by example and by rewards."""
    assert cache.is_dir()
    folder = tmp_path_factory.mktemp("chat_group")
    run_group(orders.chat(folder), folder, "run_chat_trials")
    return folder
