"""Trials that others are compared with, and what two gloo workers did: one launch for each kind of model."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from posttrain.paths import TrialPaths
from posttrain.tracking.results import Outcome
from posttrain.training.train import train
from posttrain.training.video_bench import VideoBench
from tests.float64 import train_in_float64
from tests.tiny_trial import Listener, open_bench, trial_config
from tests.training import orders
from tests.training.group import run_script


@dataclass(frozen=True)
class Ended:
    """A trial that came to its end."""

    paths: TrialPaths
    outcome: Outcome
    listener: Listener


@pytest.fixture(scope="session")
def completed(bench: VideoBench, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """`trial_config()` from beginning to end: 12 steps, measured at 4, 8 and 12."""
    paths, listener = TrialPaths(tmp_path_factory.mktemp("straight")), Listener()
    return Ended(paths, train(trial_config(), bench, paths, listener), listener)


@pytest.fixture(scope="session")
def straight(completed: Ended) -> TrialPaths:
    """The uninterrupted trial."""
    assert completed.outcome.status == "completed"
    return completed.paths


@pytest.fixture(scope="session")
def half(tiny: Path) -> VideoBench:
    """The base in bf16, as it is trained on a GPU; like `bench`, a test gives it back as it was."""
    assert tiny.is_dir()
    return open_bench(trial_config({"training.precision": "bf16"}))


@pytest.fixture(scope="session")
def every_weight(bench: VideoBench, tmp_path_factory: pytest.TempPathFactory) -> TrialPaths:
    """The averaged trial of every weight, by one worker, in float64, a whole batch at a time."""
    return train_in_float64(trial_config(orders.ALONE), bench, tmp_path_factory.mktemp("every_weight"))


@pytest.fixture(scope="session")
def video_group(bench: VideoBench, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which two workers trained a diffusion model, one trial of them on from what one worker began."""
    assert bench.samples(), "encoded before the workers start, so that they find everything in the cache"
    folder = tmp_path_factory.mktemp("video_group")
    train_in_float64(trial_config(orders.ALONE), bench, folder / "handed-on", Listener(interrupt_at=3))
    run_script("run_trials", orders.VIDEO, folder)
    return folder


@pytest.fixture(scope="session")
def chat_group(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which two workers trained a vision-language model, by example and by rewards."""
    assert cache.is_dir()
    folder = tmp_path_factory.mktemp("chat_group")
    run_script("run_chat_trials", orders.chat(folder), folder)
    return folder
