"""One batch is one batch: in micro-batches, and shared between two workers."""

import json
from pathlib import Path

import pytest

from posttrain.paths import TrialPaths
from posttrain.training.train import train
from posttrain.training.video_bench import VideoBench
from tests.tiny_trial import FULL, Listener, trial_config
from tests.training.group import order, run_group
from tests.training.trial_files import assert_close_trials, assert_same_trial, checkpoint_steps

pytestmark = pytest.mark.timeout(300)
# a dropout mask is drawn for each forward pass, so it depends on how a batch is cut
PLAIN = {"strategy.dropout": 0.0}
STAGED = {
    **PLAIN,
    "data.stages": [
        {"name": "broad", "fraction": 0.5, "weights": {"fixed": 0.3, "tracking": 0.7}},
        {"name": "late", "fraction": 0.5, "by": "camera", "where": "quality > 0.5", "learning_rate_factor": 0.5},
    ],
}
ORDERS = [
    order("two", PLAIN),
    order("refused", PLAIN),
    order("resumed", PLAIN, interrupt_at=6),
    order("resumed", PLAIN),
    order("cut", {**PLAIN, "training.micro_batch_size": 1}),
    order("full", FULL),
    order("staged", STAGED),
    order("gate", {**PLAIN, "overfit.steps": 3}),
]


@pytest.fixture(scope="module")
def one(bench: VideoBench, tmp_path_factory: pytest.TempPathFactory) -> TrialPaths:
    """The trial by one worker, a whole batch at a time."""
    paths = TrialPaths(tmp_path_factory.mktemp("one"))
    train(trial_config(PLAIN), bench, paths, Listener())
    return paths


@pytest.mark.parametrize("micro_batch_size", [1, 2])
def test_accumulated_micro_batches_are_one_batch(
    bench: VideoBench, one: TrialPaths, tmp_path: Path, micro_batch_size: int
) -> None:
    paths = TrialPaths(tmp_path)
    train(trial_config({**PLAIN, "training.micro_batch_size": micro_batch_size}), bench, paths, Listener())
    assert_close_trials(paths, one)


@pytest.fixture(scope="module")
def every_weight(bench: VideoBench, tmp_path_factory: pytest.TempPathFactory) -> TrialPaths:
    """The trial of Full by one worker, a whole batch at a time."""
    paths = TrialPaths(tmp_path_factory.mktemp("every_weight"))
    train(trial_config(FULL), bench, paths, Listener())
    return paths


def test_accumulated_is_one_batch_for_every_weight(bench: VideoBench, every_weight: TrialPaths, tmp_path: Path) -> None:
    train(trial_config({**FULL, "training.micro_batch_size": 1}), bench, TrialPaths(tmp_path), Listener())
    assert_close_trials(TrialPaths(tmp_path), every_weight)


@pytest.fixture(scope="module")
def group(bench: VideoBench, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which two gloo workers ran `ORDERS` in turn."""
    assert bench.samples(), "encoded before the workers start, so that they find everything in the cache"
    folder = tmp_path_factory.mktemp("group")
    run_group(ORDERS, folder)
    return folder


def test_two_workers_are_one(group: Path, one: TrialPaths) -> None:
    assert_close_trials(TrialPaths(group / "two"), one)
    assert checkpoint_steps(TrialPaths(group / "two")) == checkpoint_steps(one)


def test_two_workers_are_one_for_every_weight(group: Path, every_weight: TrialPaths) -> None:
    assert_close_trials(TrialPaths(group / "full"), every_weight)


def test_two_workers_draw_the_stages_of_one(bench: VideoBench, group: Path, tmp_path: Path) -> None:
    train(trial_config(STAGED), bench, TrialPaths(tmp_path), Listener())
    assert_close_trials(TrialPaths(group / "staged"), TrialPaths(tmp_path))


def test_two_workers_that_accumulate_are_one(group: Path, one: TrialPaths) -> None:
    assert_close_trials(TrialPaths(group / "cut"), one)


def test_two_workers_resume_as_if_not_interrupted(group: Path) -> None:
    """Rank 0 alone was asked to stop; the restarted trial tells its history on both ranks alike."""
    assert_same_trial(TrialPaths(group / "resumed"), TrialPaths(group / "two"), 12, train_curves=False)


def test_what_rank_zero_cannot_write_ends_the_trial_on_both(group: Path) -> None:
    """And the group lives on: the orders after it were carried out."""
    for rank in range(2):
        lines = (group / f"output-{rank}.txt").read_text().splitlines()
        (refused,) = (line for line in lines if line.startswith("refused "))
        assert refused.startswith("refused fault ")
        assert "checkpoints" in refused
        assert "cut completed 12" in lines


def test_two_workers_agree_on_a_verdict(group: Path) -> None:
    first, second = (json.loads((group / f"verdict-{rank}.json").read_text()) for rank in range(2))
    del first["seconds"], second["seconds"]
    assert first == second
    assert first["steps"] == 3
