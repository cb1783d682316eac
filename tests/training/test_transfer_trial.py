"""A Transfer trial through the Trainer: controls reach the loss, the suites and the sampler."""

from pathlib import Path
from typing import Any

import pytest

from posttrain.config import TrialConfig, merge
from posttrain.overfit import diffusion
from posttrain.overfit.gate import few_samples
from posttrain.paths import TrialPaths
from posttrain.tracking.results import Outcome
from posttrain.training.train import train
from posttrain.training.video_bench import VideoBench
from tests.look import Look
from tests.models.transfer_bench import config, open_transfer
from tests.tiny_trial import Listener

pytestmark = pytest.mark.slow

CONTROLS = {"edge": 1.0, "depth": 0.5}
STRATEGIES: dict[str, dict[str, Any]] = {
    "lora": {"type": "lora", "rank": 4},
    "controlnet": {"type": "full"},
    "both": {"type": "full", "modules": ["controlnet", "transformer"]},
}


@pytest.fixture(scope="module")
def slot() -> VideoBench:
    return open_transfer(CONTROLS)


def trial(strategy: str, **changes: Any) -> TrialConfig:
    document = config(CONTROLS).model_dump() | {"strategy": STRATEGIES[strategy]}
    return merge(TrialConfig.model_validate(document), changes)


def run(slot: VideoBench, folder: Path, strategy: str = "controlnet", **changes: Any) -> Outcome:
    return train(trial(strategy, **changes), slot, TrialPaths(folder), Listener())


@pytest.mark.parametrize("strategy", list(STRATEGIES))
def test_a_trial_trains_and_is_measured_with_its_controls(slot: VideoBench, tmp_path: Path, strategy: str) -> None:
    before = [Look(module) for module in slot.family.modules.values()]
    outcome = run(slot, tmp_path / "one", strategy)
    assert outcome.status == "completed"
    assert set(outcome.metrics) == {"held_out/loss", "held_out/psnr"}
    assert outcome.mixture == {"all": {"fixed": 16}}
    assert [Look(module) for module in slot.family.modules.values()] == before
    assert run(slot, tmp_path / "two", strategy).metrics == outcome.metrics


def test_training_the_controlnet_lowers_the_held_out_loss(slot: VideoBench, tmp_path: Path) -> None:
    changes = {"training.steps": 24, "training.learning_rate": 3e-3, "evaluation.every": 12, "evaluation.psnr": None}
    listener = Listener()
    train(trial("controlnet", **changes), slot, TrialPaths(tmp_path), listener)
    losses = [record.values["held_out/loss"] for record in listener.evaluations]
    assert losses[-1] < 0.9 * slot.evaluate(trial("controlnet"), step=1).values["held_out/loss"]


def test_other_weights_are_another_measurement_and_another_verdict(slot: VideoBench, tmp_path: Path) -> None:
    before, identity = run(slot, tmp_path / "one").metrics, slot.identity
    slot.family.controls = {"edge": 1.0, "depth": 2.0}
    try:
        assert slot.identity != identity
        assert run(slot, tmp_path / "two").metrics != before
    finally:
        slot.family.controls = CONTROLS


def test_the_gate_looks_at_the_controls(slot: VideoBench) -> None:
    few = {"overfit.samples": 2, "overfit.batch_size": 8, "overfit.steps": 50}
    chosen = trial("controlnet", **{"training.learning_rate": 5e-3, **few})
    verdict = diffusion.run(chosen, slot, few_samples(chosen, slot))
    assert verdict.passed, verdict.reason
    assert [check.name for check in verdict.checks][-1] == "control_contrast"
