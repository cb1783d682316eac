"""Every tiny sweep that ships: its own configuration beats the base.

One runs through Ray, as does the quickstart in `test_sweep.py`; the others train their own configuration in this
process, with the same jobs. Their gates are those of `overfit_tests/`.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from posttrain import cli
from posttrain.config.evaluation import METRICS
from tests.main_job.conftest import Program

ROOT = Path(__file__).parents[2]
TINY = sorted(
    path.stem
    for path in (ROOT / "sweeps").glob("*.yaml")
    if yaml.safe_load(path.read_text(encoding="utf-8"))["model"]["checkpoint"].startswith("tiny:")
)
ON_RAY = "tiny-vlm-rl"
# As many steps as it takes to beat the base clearly.
STEPS = {
    "quickstart": 24,
    "tiny-mixture": 24,
    "tiny-predict-full": 24,
    "tiny-transfer-full": 24,
    "tiny-transfer-lora": 24,
    "tiny-two-stages": 24,
    "tiny-vlm-full": 20,
}
# Of those that measure PSNR: two continuations of a few steps show as well that it rises.
SHORT_PSNR = {
    name: ["evaluation.psnr.clips=2", "evaluation.psnr.sampler_steps=5"]
    for name in ("tiny-predict-full", "tiny-transfer-full", "tiny-transfer-lora")
}


def test_every_tiny_sweep_is_run() -> None:
    assert sorted([ON_RAY, *STEPS]) == TINY


@pytest.mark.ray
def test_its_own_configuration_beats_the_base_on_ray(program: Program) -> None:
    short = ["overfit=off", "training.steps=10", "search.trials=1", "resources.slots=1"]
    ended = program("sweep", str(ROOT / f"sweeps/{ON_RAY}.yaml"), *short)
    assert ended.exit_code == 0, ended.output
    beats_the_base(program.folder / "runs" / ON_RAY)


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPS)
def test_its_own_configuration_beats_the_base(name: str, tmp_path: Path) -> None:
    file, steps = ROOT / f"sweeps/{name}.yaml", STEPS[name]
    length = [f"training.steps={steps}", f"evaluation.every={steps}", *SHORT_PSNR.get(name, [])]
    assert cli.run(["train", str(file), "overfit=off", *length, "--runs", str(tmp_path)]) == 0
    beats_the_base(tmp_path / f"{name}-train")


def beats_the_base(run: Path) -> None:
    """The first trial is the best one, and better than the base in every metric."""
    summary, result = read(run / "summary.json"), read(run / "trials/t0001/result.json")
    assert summary["best"]["trial"] == "t0001"
    for metric, measured in result["metrics"].items():
        name = metric.rpartition("/")[2]
        base = summary["baseline"][metric]
        if name != "format":  # tiny bases answer in form already
            assert measured["best"] < base if METRICS[name] == "min" else measured["best"] > base, metric


def read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document
