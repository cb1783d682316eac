"""One batch is one batch: in micro-batches, and shared between two workers."""

import json
from pathlib import Path

import pytest

from posttrain.paths import TrialPaths
from posttrain.training.video_bench import VideoBench
from tests.float64 import train_in_float64
from tests.tiny_trial import trial_config
from tests.training.orders import ALONE, CUT, PLAIN, STAGED
from tests.training.trial_files import assert_close_trials, assert_same_trial, checkpoint_steps

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("video_group")]


@pytest.fixture(scope="module")
def one(bench: VideoBench, tmp_path_factory: pytest.TempPathFactory) -> TrialPaths:
    """The trial by one worker, a whole batch at a time."""
    return train_in_float64(trial_config(PLAIN), bench, tmp_path_factory.mktemp("one"))


def test_accumulated_micro_batches_are_one_batch(bench: VideoBench, one: TrialPaths, tmp_path: Path) -> None:
    config = trial_config({**PLAIN, **CUT})
    assert_close_trials(train_in_float64(config, bench, tmp_path), one, 12)


def test_accumulated_is_one_batch_for_every_weight(bench: VideoBench, every_weight: TrialPaths, tmp_path: Path) -> None:
    """Also of micro-batches of more than one sample."""
    config = trial_config({**ALONE, "training.micro_batch_size": 2})
    assert_close_trials(train_in_float64(config, bench, tmp_path), every_weight, 12)


def test_two_workers_are_one(video_group: Path, one: TrialPaths) -> None:
    assert_close_trials(TrialPaths(video_group / "two"), one, 12)
    assert checkpoint_steps(TrialPaths(video_group / "two")) == checkpoint_steps(one)


def test_two_workers_are_one_for_every_weight(video_group: Path, every_weight: TrialPaths) -> None:
    assert_close_trials(TrialPaths(video_group / "copied"), every_weight, 12)


def test_two_workers_that_accumulate_draw_the_stages_of_one(
    bench: VideoBench, video_group: Path, tmp_path: Path
) -> None:
    one = train_in_float64(trial_config(STAGED), bench, tmp_path)
    assert_close_trials(TrialPaths(video_group / "staged"), one, 12)


def test_two_workers_resume_as_if_not_interrupted(video_group: Path) -> None:
    """Rank 0 alone was asked to stop; the restarted trial tells its history on both ranks alike."""
    assert_same_trial(TrialPaths(video_group / "resumed"), TrialPaths(video_group / "two"), 12, train_curves=False)


def test_what_rank_zero_cannot_write_ends_the_trial_on_both(video_group: Path) -> None:
    """And the group lives on: the orders after it were carried out."""
    for rank in range(2):
        lines = (video_group / f"output-{rank}.txt").read_text().splitlines()
        (refused,) = (line for line in lines if line.startswith("refused "))
        assert refused.startswith("refused fault ")
        assert "checkpoints" in refused
        assert "staged completed 12" in lines


def test_two_workers_agree_on_a_verdict(video_group: Path) -> None:
    first, second = (json.loads((video_group / f"gate-{rank}.json").read_text()) for rank in range(2))
    del first["seconds"], second["seconds"]
    assert first == second
    assert first["steps"] == 3
