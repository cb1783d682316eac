"""A trial that was interrupted, stopped or killed ends as the one that was not."""

import dataclasses
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from posttrain.paths import TrialPaths
from posttrain.tracking.results import Outcome
from posttrain.training.observer import StepRecord
from posttrain.training.train import train
from posttrain.training.video_bench import VideoBench
from tests.look import Look
from tests.tiny_trial import AVERAGED, FULL, Listener, trial_config
from tests.training.conftest import Ended
from tests.training.trial_files import (
    assert_same_trial,
    checkpoint_steps,
    curves,
    evaluations,
    largest_difference,
    weights,
)

pytestmark = pytest.mark.slow


class Killed(Exception):  # noqa: N818 - it stands for a signal
    """Stands for whatever ends a process in the middle of a step."""


def outcome(found: Outcome) -> dict[str, Any]:
    """An outcome without what differs from run to run."""
    document = dataclasses.asdict(found)
    del document["seconds"], document["peak_memory_bytes"]
    return document


# before the first evaluation, at one, between two, and just before the end
@pytest.mark.parametrize("step", [1, 4, 6, 11])
def test_interrupted_and_resumed_is_straight(
    bench: VideoBench, straight: TrialPaths, tmp_path: Path, step: int
) -> None:
    paths = TrialPaths(tmp_path)
    first = train(trial_config(), bench, paths, Listener(interrupt_at=step))
    assert first.status == "interrupted"
    assert first.steps == step
    assert f"interrupted at step {step}" in first.reason
    assert step in checkpoint_steps(paths)
    second = train(trial_config(), bench, paths, Listener())
    assert_same_trial(paths, straight, 12, train_curves=step % 4 == 0)
    assert checkpoint_steps(paths) == checkpoint_steps(straight)
    again = train(trial_config(), bench, straight, Listener())
    assert outcome(second) == outcome(again)


KINDS = {
    "full": FULL,
    "averaged": AVERAGED,
    "averaged-bf16": {**AVERAGED, "training.precision": "bf16"},
}


@dataclass
class WholeTrials:
    """Trials of every weight from beginning to end, by their kind; each is made when it is first asked for."""

    benches: dict[str, VideoBench]
    folder: Path

    def __call__(self, kind: str) -> TrialPaths:
        paths, config = TrialPaths(self.folder / kind), trial_config(KINDS[kind])
        if not paths.root.exists():
            train(config, self.benches[config.training.precision], paths, Listener())
        return paths


@pytest.fixture(scope="module")
def whole(bench: VideoBench, half: VideoBench, tmp_path_factory: pytest.TempPathFactory) -> WholeTrials:
    return WholeTrials({"fp32": bench, "bf16": half}, tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("kind", KINDS)
def test_every_weight_resumed_is_straight(whole: WholeTrials, tmp_path: Path, kind: str) -> None:
    config, paths = trial_config(KINDS[kind]), TrialPaths(tmp_path)
    bench = whole.benches[config.training.precision]
    before = Look(bench.family.transformer)
    assert train(config, bench, paths, Listener(interrupt_at=6)).status == "interrupted"
    train(config, bench, paths, Listener())
    assert_same_trial(paths, whole(kind), 12, train_curves=False)
    assert {value.dtype for value in weights(paths, 12).values()} == {torch.float32}
    assert Look(bench.family.transformer) == before


def test_the_average_is_what_is_measured_and_written(whole: WholeTrials) -> None:
    paths, plain = whole("averaged"), whole("full")
    found, raw = weights(paths, 12), weights(plain, 12)
    assert all(torch.equal(found[f"raw/{name}"], value) for name, value in raw.items()), "training itself is the same"
    assert largest_difference({name: found[name] for name in raw}, raw) > 1e-5
    assert evaluations(paths)[-1]["seen/loss"] != evaluations(plain)[-1]["seen/loss"]


def test_interrupted_again_and_again(bench: VideoBench, straight: TrialPaths, tmp_path: Path) -> None:
    paths = TrialPaths(tmp_path)
    steps = []
    for interrupt_at in (3, 2, 5, None):
        steps.append(train(trial_config(), bench, paths, Listener(interrupt_at=interrupt_at)).steps)
    assert steps[0] < steps[1] < steps[2] < steps[3] == 12
    assert_same_trial(paths, straight, 12, train_curves=False)


def test_killed_off_the_grid_goes_on_from_the_last_checkpoint(
    bench: VideoBench, straight: TrialPaths, tmp_path: Path
) -> None:
    def kill(record: StepRecord) -> None:
        if record.step == 8:  # its evaluation is written, its checkpoint is not
            raise Killed

    paths = TrialPaths(tmp_path)
    with pytest.raises(Killed):
        train(trial_config(), bench, paths, Listener(on_step_do=kill))
    assert checkpoint_steps(paths) == [4]
    assert [record["step"] for record in evaluations(paths)] == [4, 8]
    listener = Listener()
    train(trial_config(), bench, paths, listener)
    assert [record.step for record in listener.evaluations] == [4, 8, 12]
    assert_same_trial(paths, straight, 12)


def test_a_completed_trial_is_told_again_and_not_trained(bench: VideoBench, completed: Ended, tmp_path: Path) -> None:
    paths = TrialPaths(shutil.copytree(completed.paths.root, tmp_path / "trial"))
    before = curves(paths)
    listener = Listener()
    second = train(trial_config(), bench, paths, listener)
    assert outcome(second) == outcome(completed.outcome)
    assert listener.steps == []
    assert [record.step for record in listener.evaluations] == [4, 8, 12]
    assert curves(paths) == before


def test_a_scheduler_that_starts_afresh_can_stop_at_once(bench: VideoBench, tmp_path: Path) -> None:
    paths = TrialPaths(tmp_path)
    train(trial_config(), bench, paths, Listener(interrupt_at=6))
    listener = Listener(stop_at={4: "behind the others"})
    found = train(trial_config(), bench, paths, listener)
    assert (found.status, found.reason, found.steps) == ("stopped", "behind the others", 6)
    assert listener.steps == []
