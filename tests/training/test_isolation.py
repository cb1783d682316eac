"""A trial in a used slot is the trial in a fresh process, bit for bit."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from posttrain.paths import TrialPaths
from posttrain.training.observer import StepRecord
from posttrain.training.train import train
from posttrain.training.video_bench import VideoBench
from tests.look import Look
from tests.tiny_trial import AVERAGED, FULL, Listener, trial_config
from tests.training.trial_files import assert_same_trial

DORA = {"strategy.dora": True, "strategy.rslora": True}
THIRD = {"training.seed": 3, "strategy.rank": 8}

pytestmark = pytest.mark.slow


class Broken(Exception):  # noqa: N818 - any error at all
    """Raised in the middle of a trial."""


@pytest.fixture(params=[THIRD, {**AVERAGED, "training.seed": 3}], ids=["lora", "averaged"])
def third(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Changes for the trial that comes after others."""
    return dict(request.param)


@pytest.fixture
def fresh(bench: VideoBench, tmp_path: Path, third: dict[str, Any]) -> TrialPaths:
    """The trial as the first one of a process."""
    assert bench.samples(), "encoded before the process starts"
    orders = tmp_path / "orders.json"
    orders.write_text(json.dumps([{"name": "fresh", "changes": third, "interrupt_at": None}]))
    command = [sys.executable, "-m", "tests.training.run_trials", str(orders), str(tmp_path)]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], env=dict(os.environ), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return TrialPaths(tmp_path / "fresh")


@pytest.mark.parametrize("changes", [{}, DORA, AVERAGED], ids=["lora", "dora", "averaged"])
def test_a_trial_gives_back_the_base_as_it_was(bench: VideoBench, tmp_path: Path, changes: dict[str, Any]) -> None:
    before = Look(bench.family.transformer)
    checkpointed = {**changes, "training.gradient_checkpointing": True}
    train(trial_config(checkpointed), bench, TrialPaths(tmp_path), Listener(interrupt_at=2))
    assert Look(bench.family.transformer) == before


def test_earlier_trials_leave_no_trace_in_a_later_one(
    bench: VideoBench, fresh: TrialPaths, tmp_path: Path, third: dict[str, Any]
) -> None:
    def fail(record: StepRecord) -> None:
        if record.step == 4:
            raise Broken

    interrupted = {"strategy.target_modules": ["to_q"], "training.gradient_checkpointing": True, "training.seed": 1}
    train(trial_config(interrupted), bench, TrialPaths(tmp_path / "interrupted"), Listener(interrupt_at=5))
    train(trial_config(FULL), bench, TrialPaths(tmp_path / "whole"), Listener(interrupt_at=3))
    raised = {"training.batch_size": 8, "training.micro_batch_size": 2, "training.schedule": "constant"}
    with pytest.raises(Broken):
        train(trial_config(raised), bench, TrialPaths(tmp_path / "raised"), Listener(on_step_do=fail))
    paths = TrialPaths(tmp_path / "third")
    train(trial_config(third), bench, paths, Listener())
    assert_same_trial(paths, fresh, 12)
