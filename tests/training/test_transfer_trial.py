"""A Transfer trial through the Trainer: controls reach the loss, the suites and the sampler."""

import json
from pathlib import Path

import pytest

from posttrain.config import merge
from posttrain.paths import TrialPaths
from posttrain.training.train import Outcome, train
from posttrain.training.video_bench import VideoBench
from tests.models.transfer_bench import config, open_transfer
from tests.tiny_trial import Listener

# whichever test comes first builds two checkpoints
pytestmark = pytest.mark.timeout(300)

CONTROLS = {"edge": 1.0, "depth": 0.5}


@pytest.fixture(scope="module")
def slot() -> VideoBench:
    return open_transfer(CONTROLS)


def run(slot: VideoBench, folder: Path, **changes: float) -> Outcome:
    return train(merge(config(CONTROLS), dict(changes)), slot, TrialPaths(folder), Listener())


def test_a_trial_trains_and_is_measured_with_its_controls(slot: VideoBench, tmp_path: Path) -> None:
    outcome = run(slot, tmp_path / "one")
    assert outcome.status == "completed"
    assert set(outcome.metrics) == {"held_out/loss", "held_out/psnr"}
    assert outcome.mixture == {"all": {"fixed": 16}}
    again = run(slot, tmp_path / "two")
    assert again.metrics == outcome.metrics
    assert (tmp_path / "one" / "checkpoints").is_dir()
    lines = (tmp_path / "one" / "metrics.jsonl").read_text().splitlines()
    assert any("held_out/loss" in json.loads(line) or "held_out/loss" in line for line in lines)


def test_other_weights_are_another_measurement_and_another_verdict(slot: VideoBench, tmp_path: Path) -> None:
    before, identity = run(slot, tmp_path / "one").metrics, slot.identity
    slot.family.controls = {"edge": 1.0, "depth": 2.0}
    try:
        assert slot.identity != identity
        assert run(slot, tmp_path / "two").metrics != before
    finally:
        slot.family.controls = CONTROLS
