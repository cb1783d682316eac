"""A trial in a used slot is the trial in a fresh process, bit for bit."""

from pathlib import Path
from typing import Any

import pytest

from posttrain.paths import TrialPaths
from posttrain.training.observer import StepRecord
from posttrain.training.train import train
from posttrain.training.video_bench import VideoBench
from tests.look import Look
from tests.tiny_trial import AVERAGED, FULL, Listener, trial_config
from tests.training.orders import THIRD
from tests.training.trial_files import assert_same_trial

DORA = {"strategy.dora": True, "strategy.rslora": True}

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("video_group")]


class Broken(Exception):  # noqa: N818 - any error at all
    """Raised in the middle of a trial."""


@pytest.fixture(scope="module")
def used(bench: VideoBench, tmp_path_factory: pytest.TempPathFactory) -> VideoBench:
    """The slot after a trial that was interrupted, one that trained every weight, and one that failed."""

    def fail(record: StepRecord) -> None:
        if record.step == 4:
            raise Broken

    folder = tmp_path_factory.mktemp("earlier")
    interrupted = {"strategy.target_modules": ["to_q"], "training.gradient_checkpointing": True, "training.seed": 1}
    train(trial_config(interrupted), bench, TrialPaths(folder / "interrupted"), Listener(interrupt_at=5))
    train(trial_config(FULL), bench, TrialPaths(folder / "whole"), Listener(interrupt_at=3))
    raised = {"training.batch_size": 8, "training.micro_batch_size": 2, "training.schedule": "constant"}
    with pytest.raises(Broken):
        train(trial_config(raised), bench, TrialPaths(folder / "raised"), Listener(on_step_do=fail))
    return bench


@pytest.mark.parametrize("changes", [{}, DORA, AVERAGED], ids=["lora", "dora", "averaged"])
def test_a_trial_gives_back_the_base_as_it_was(bench: VideoBench, tmp_path: Path, changes: dict[str, Any]) -> None:
    before = Look(bench.family.transformer)
    checkpointed = {**changes, "training.gradient_checkpointing": True}
    train(trial_config(checkpointed), bench, TrialPaths(tmp_path), Listener(interrupt_at=2))
    assert Look(bench.family.transformer) == before


@pytest.mark.parametrize("name", THIRD)
def test_earlier_trials_leave_no_trace_in_a_later_one(
    used: VideoBench, video_group: Path, tmp_path: Path, name: str
) -> None:
    train(trial_config(THIRD[name]), used, TrialPaths(tmp_path), Listener())
    assert_same_trial(TrialPaths(tmp_path), TrialPaths(video_group / f"fresh-{name}"), 12)
