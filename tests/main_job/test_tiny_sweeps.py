"""Every tiny sweep that ships, through the command line and Ray: its own configuration beats the base."""

from pathlib import Path

import pytest
import yaml

from posttrain.config.evaluation import METRICS
from tests.main_job.conftest import Program

ROOT = Path(__file__).parents[2]
TINY = sorted(
    path
    for path in (ROOT / "sweeps").glob("*.yaml")
    if yaml.safe_load(path.read_text(encoding="utf-8"))["model"]["checkpoint"].startswith("tiny:")
)


@pytest.mark.ray
@pytest.mark.timeout(400)  # a tiny base is built first
@pytest.mark.parametrize("path", TINY, ids=lambda path: path.stem)
def test_its_own_configuration_beats_the_base(path: Path, program: Program) -> None:
    ended = program("sweep", str(path), "search.trials=1", "resources.slots=1")
    assert ended.exit_code == 0, ended.output
    run = f"runs/{path.stem}"
    summary, result = program.json(f"{run}/summary.json"), program.json(f"{run}/trials/t0001/result.json")
    assert summary["best"]["trial"] == "t0001"
    for metric, measured in result["metrics"].items():
        name = metric.rpartition("/")[2]
        base = summary["baseline"][metric]
        if name != "format":  # tiny bases answer in form already
            assert measured["best"] < base if METRICS[name] == "min" else measured["best"] > base, metric
