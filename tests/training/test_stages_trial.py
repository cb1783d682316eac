"""A trial in stages: the learning rate of each, what was drawn and shown, and that resuming changes nothing."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from posttrain.data import plan_mixture
from posttrain.paths import TrialPaths
from posttrain.training.draws import Draws
from posttrain.training.train import rate_factor, train
from posttrain.training.video_bench import VideoBench
from tests.rl_trial import rl_config
from tests.tiny_trial import Listener, trial_config
from tests.training.trial_files import assert_same_trial, curves, weights

pytestmark = pytest.mark.slow

STAGES = [
    {"name": "broad", "fraction": 0.5, "weights": {"fixed": 0.25, "tracking": 0.75}},
    {"name": "late", "fraction": 0.5, "by": "camera", "weights": {"fixed": 1}, "learning_rate_factor": 0.25},
]
CHANGES: dict[str, Any] = {
    "data.stages": STAGES,
    "training.steps": 8,
    "training.warmup": 0.25,
    "evaluation.every": 1,  # a record of training for each step
    "evaluation.suites": {"seen": {"source": "fixed", "samples": 1}},
    "evaluation.psnr": None,
}


@pytest.fixture(scope="module")
def staged(bench: VideoBench, tmp_path_factory: pytest.TempPathFactory) -> TrialPaths:
    paths = TrialPaths(tmp_path_factory.mktemp("staged"))
    assert train(trial_config(CHANGES), bench, paths, Listener()).status == "completed"
    return paths


def test_the_learning_rate_is_the_schedules_times_the_stages(staged: TrialPaths) -> None:
    expected = []
    for step in range(8):  # 2 of 8 steps warm up, then half a cosine
        schedule = step / 2 if step < 2 else (1 + math.cos(math.pi * (step - 2) / 6)) / 2
        expected.append((step + 1, pytest.approx(1e-2 * schedule * (1 if step < 4 else 0.25), rel=1e-5)))
    assert curves(staged)["train/learning_rate"] == expected


@pytest.mark.parametrize("step", [3, 4, 5])
def test_interrupted_beside_a_switch_of_stages_is_straight(
    bench: VideoBench, staged: TrialPaths, tmp_path: Path, step: int
) -> None:
    paths = TrialPaths(tmp_path)
    first = train(trial_config(CHANGES), bench, paths, Listener(interrupt_at=step))
    assert (first.status, first.steps) == ("interrupted", step)
    again = train(trial_config(CHANGES), bench, paths, Listener())
    assert_same_trial(paths, staged, 8)
    whole = train(trial_config(CHANGES), bench, staged, Listener())
    assert (again.mixture, again.exposure) == (whole.mixture, whole.exposure)


def test_what_was_drawn_is_told_by_source_and_stage(bench: VideoBench, staged: TrialPaths) -> None:
    found = train(trial_config(CHANGES), bench, staged, Listener())
    assert found.mixture == {"broad": {"fixed": 4, "tracking": 12}, "late": {"fixed": 16}}
    sizes = {source: len(samples) for source, samples in bench.dataset.train.items()}
    frames = bench.family.clip.frames
    assert found.exposure == {
        "broad": {
            "fixed": {"samples": 4, "epochs": 4 / sizes["fixed"], "frames": 4 * frames},
            "tracking": {"samples": 12, "epochs": 12 / sizes["tracking"], "frames": 12 * frames},
        },
        "late": {"fixed": {"samples": 16, "epochs": 16 / sizes["fixed"], "frames": 16 * frames}},
    }
    shown = curves(staged)
    assert dict(shown["mixture/share/fixed"])[4] == 0.25
    assert dict(shown["mixture/share/fixed"])[8] == pytest.approx(20 / 32)
    assert dict(shown["mixture/epochs/tracking"])[8] == pytest.approx(12 / sizes["tracking"])
    assert dict(shown["mixture/epochs/fixed"])[8] == pytest.approx(20 / sizes["fixed"])


def test_a_stage_without_a_rate_does_not_train(bench: VideoBench, tmp_path: Path) -> None:
    """The factor reaches the optimizer, not the curve alone."""
    paths = TrialPaths(tmp_path)
    late = STAGES[1] | {"learning_rate_factor": 1e-30}
    changes = CHANGES | {"data.stages": [STAGES[0], late], "evaluation.every": 4, "training.warmup": 0.0}
    train(trial_config(changes), bench, paths, Listener())
    middle, end = weights(paths, 4), weights(paths, 8)
    assert any(value.any() for name, value in end.items() if "lora_B" in name), "the first stage trains"
    assert all(torch.equal(middle[name], end[name]) for name in end)


def test_in_rl_a_stage_lasts_the_steps_that_its_batches_train() -> None:
    halves = [{"name": "a", "fraction": 0.5}, {"name": "b", "fraction": 0.5, "learning_rate_factor": 0.5}]
    config = rl_config({"strategy.iterations": 3, "training.steps": 12, "data.stages": halves})
    mixture = plan_mixture(config.data, {"choice": [object()] * 5}, config.num_batches(12), 4)
    draws = Draws(0, mixture.stages, {"choice": [object()] * 5}, mixture.pools)
    assert len(draws) == 16
    assert [rate_factor(config, draws, step) for step in range(14)] == [1.0] * 6 + [0.5] * 8


def test_tallies_go_on_and_go_back(bench: VideoBench) -> None:
    config = trial_config(CHANGES)
    mixture = plan_mixture(config.data, bench.dataset.train, 8, 4)
    draws = Draws(0, mixture.stages, bench.dataset.train, mixture.pools)
    whole = draws.realised(32)
    seen = [draws.sample(position) for position in range(32)]
    assert draws.realised(16) == {"broad": {"fixed": 4, "tracking": 12}, "late": {"fixed": 0}}
    assert draws.realised(32) == whole
    drawn = draws.tally(32).drawn()
    for sample, times in drawn["late"]["fixed"]:
        assert times == sum(other.id == sample.id for other in seen[16:])
    assert [draws.stage(position).name for position in (0, 15, 16, 31, 32, 99)] == ["broad"] * 2 + ["late"] * 4
