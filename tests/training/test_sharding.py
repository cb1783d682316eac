"""Two workers that share out weights and optimizer (FSDP2) are one; any group goes on with any checkpoint."""

from pathlib import Path

import pytest
import torch

from posttrain.paths import TrialPaths
from posttrain.training.video_bench import VideoBench
from tests.float64 import train_in_float64
from tests.look import Look
from tests.tiny_trial import trial_config
from tests.training.orders import ALONE
from tests.training.trial_files import assert_close_trials, checkpoint, evaluations, largest_difference, weights

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("video_group")]


def test_shared_out_between_two_it_is_the_trial_of_one(video_group: Path, every_weight: TrialPaths) -> None:
    """With activations computed twice and a batch cut into micro-batches, too."""
    assert_close_trials(TrialPaths(video_group / "fsdp"), every_weight, 12)


def test_in_bf16_master_weights_stay_float32(video_group: Path, every_weight: TrialPaths) -> None:
    """What the workers send each other is rounded, what they keep is not."""
    found, exact = TrialPaths(video_group / "fsdp-bf16"), weights(every_weight, 12)
    assert {value.dtype for value in weights(found, 12).values()} == {torch.float32}
    assert any(bool((value != value.bfloat16()).any()) for value in weights(found, 12).values())
    assert largest_difference(weights(found, 12), exact) > 0
    for mine, theirs in zip(evaluations(found), evaluations(every_weight), strict=True):
        assert mine["seen/loss"] == pytest.approx(theirs["seen/loss"], rel=0.01)


def test_others_go_on_with_a_checkpoint(bench: VideoBench, video_group: Path, every_weight: TrialPaths) -> None:
    """One worker, two that share out, two that copy, two that share out again, and at last one."""
    trial = TrialPaths(video_group / "handed-on")
    for rank in range(2):
        lines = (video_group / f"output-{rank}.txt").read_text().splitlines()
        steps = [line for line in lines if line.startswith("handed-on")]
        assert steps == [f"handed-on interrupted {step}" for step in (5, 8, 10)]
    before = Look(bench.family.transformer)
    train_in_float64(trial_config(ALONE), bench, trial.root)
    assert Look(bench.family.transformer) == before
    assert_close_trials(trial, every_weight, 12, train_curves=False)


def test_a_shared_checkpoint_is_written_whole_and_once(video_group: Path, every_weight: TrialPaths) -> None:
    shared, alone = checkpoint(TrialPaths(video_group / "fsdp"), 12), checkpoint(every_weight, 12)
    of_ranks = {"rng_state.pth", "rng_state_0.pth", "rng_state_1.pth"}
    names = [{str(path.relative_to(folder)) for path in folder.rglob("*")} - of_ranks for folder in (shared, alone)]
    assert names[0] == names[1]
    assert (shared / "transformer/config.json").read_text() == (alone / "transformer/config.json").read_text()
    state = torch.load(shared / "optimizer.pt", weights_only=True)["state"]
    assert all(name.startswith("networks.transformer.") for name in state)


def test_the_base_comes_back_after_sharing(video_group: Path) -> None:
    for rank in range(2):
        lines = (video_group / f"output-{rank}.txt").read_text().splitlines()
        assert "fsdp completed 12" in lines
        assert "base unchanged" in lines
        assert not [line for line in lines if "Warning" in line]
    assert (video_group / "gate-fsdp-0.json").is_file()
