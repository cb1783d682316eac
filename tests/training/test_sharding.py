"""Two workers that share out weights and optimizer (FSDP2) are one; any group goes on with any checkpoint."""

import shutil
from pathlib import Path

import pytest
import torch

from posttrain.paths import TrialPaths
from posttrain.training.train import train
from posttrain.training.video_bench import VideoBench
from tests.look import Look
from tests.tiny_trial import AVERAGED, FULL, Listener, trial_config
from tests.training.group import order, run_group
from tests.training.trial_files import (
    assert_close_trials,
    checkpoint,
    evaluations,
    largest_difference,
    optimizer_state,
    weights,
)

pytestmark = pytest.mark.timeout(300)
ALONE = {**AVERAGED, "evaluation.every": 6}
COPIED = {**ALONE, "resources.workers": 2}
SHARED = {**COPIED, "resources.parallel": "fsdp"}
ORDERS = [
    order("fsdp", {**SHARED, "training.gradient_checkpointing": True, "training.micro_batch_size": 1}),
    order("half-fsdp", SHARED, interrupt_at=5),
    order("fsdp-then-ddp", SHARED, interrupt_at=5),
    order("fsdp-then-ddp", COPIED),
    order("ddp-then-fsdp", COPIED, interrupt_at=5),
    order("ddp-then-fsdp", SHARED),
    order("one-then-fsdp", SHARED),
    order("fsdp-bf16", {**SHARED, "training.precision": "bf16"}),
    order(
        "gate", {**FULL, "resources.workers": 2, "resources.parallel": "fsdp", "overfit.steps": 3, "overfit.samples": 2}
    ),
]


@pytest.fixture(scope="module")
def one(bench: VideoBench, tmp_path_factory: pytest.TempPathFactory) -> TrialPaths:
    """The trial by one worker."""
    paths = TrialPaths(tmp_path_factory.mktemp("one"))
    train(trial_config(ALONE), bench, paths, Listener())
    return paths


@pytest.fixture(scope="module")
def group(bench: VideoBench, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which two workers ran `ORDERS`, one of them on from what one worker had begun."""
    folder = tmp_path_factory.mktemp("group")
    train(trial_config(ALONE), bench, TrialPaths(folder / "one-then-fsdp"), Listener(interrupt_at=5))
    run_group(ORDERS, folder)
    return folder


def test_shared_out_between_two_it_is_the_trial_of_one(group: Path, one: TrialPaths) -> None:
    """With activations computed twice and a batch cut into micro-batches, too."""
    assert_close_trials(TrialPaths(group / "fsdp"), one)


def test_in_bf16_master_weights_stay_float32(group: Path, one: TrialPaths) -> None:
    """What the workers send each other is rounded, what they keep is not."""
    found, exact = TrialPaths(group / "fsdp-bf16"), weights(one, 12)
    assert {value.dtype for value in weights(found, 12).values()} == {torch.float32}
    assert any(bool((value != value.bfloat16()).any()) for value in weights(found, 12).values())
    assert largest_difference(weights(found, 12), exact) > 0
    for mine, theirs in zip(evaluations(found), evaluations(one), strict=True):
        assert mine["seen/loss"] == pytest.approx(theirs["seen/loss"], rel=0.01)


def assert_resumed(found: TrialPaths, straight: TrialPaths) -> None:
    assert largest_difference(weights(found, 12), weights(straight, 12)) < 1e-6
    moments = zip(optimizer_state(found, 12), optimizer_state(straight, 12), strict=True)
    assert max(float((a - b).abs().max()) for a, b in moments) < 1e-6
    for mine, theirs in zip(evaluations(found), evaluations(straight), strict=True):
        assert (mine.pop("step"), mine.pop("kind")) == (theirs.pop("step"), theirs.pop("kind"))
        assert mine == pytest.approx(theirs, rel=1e-5)


@pytest.mark.parametrize("name", ["one-then-fsdp", "fsdp-then-ddp", "ddp-then-fsdp"])
def test_others_go_on_with_a_checkpoint(group: Path, one: TrialPaths, name: str) -> None:
    assert_resumed(TrialPaths(group / name), one)


def test_one_worker_goes_on_where_two_stopped(bench: VideoBench, group: Path, one: TrialPaths, tmp_path: Path) -> None:
    shutil.copytree(group / "half-fsdp", tmp_path / "trial")
    paths = TrialPaths(tmp_path / "trial")
    before = Look(bench.family.transformer)
    assert train(trial_config(ALONE), bench, paths, Listener()).status == "completed"
    assert Look(bench.family.transformer) == before
    assert_resumed(paths, one)


def test_a_shared_checkpoint_is_written_whole_and_once(group: Path, one: TrialPaths) -> None:
    shared, alone = checkpoint(TrialPaths(group / "fsdp"), 12), checkpoint(one, 12)
    of_ranks = {"rng_state.pth", "rng_state_0.pth", "rng_state_1.pth"}
    names = [{str(path.relative_to(folder)) for path in folder.rglob("*")} - of_ranks for folder in (shared, alone)]
    assert names[0] == names[1]
    assert (shared / "transformer/config.json").read_text() == (alone / "transformer/config.json").read_text()
    state = torch.load(shared / "optimizer.pt", weights_only=True)["state"]
    assert all(name.startswith("networks.transformer.") for name in state)


def test_the_base_comes_back_after_sharing(group: Path) -> None:
    for rank in range(2):
        lines = (group / f"output-{rank}.txt").read_text().splitlines()
        assert "fsdp completed 12" in lines
        assert "base unchanged" in lines
        assert not [line for line in lines if "Warning" in line]
    assert (group / "verdict-0.json").is_file()
