"""What `plan` and `check` tell of stages, groups and caps, on a demo set."""

import json
from pathlib import Path

import pytest

from posttrain import cli

SWEEP = """\
name: mixed
model: {checkpoint: tiny:predict2.5}
strategy: {type: lora}
data:
  sources:
    high: {path: demo:shapes/fixed-high, licence: CC0}
    low: {path: demo:shapes/fixed-low, synthetic: true, max_share: 0.4}
  stages:
    - {name: broad, fraction: 0.5, weights: {high: 0.75, low: 0.25}}
    - name: late
      fraction: 0.5
      by: quality
      where: "quality >= 0.5"
      learning_rate_factor: 0.5
training: {steps: 8, batch_size: 4, learning_rate: 1e-4}
search_space:
  data.stages.broad.weights: {simplex: [high, low]}
"""


@pytest.fixture
def sweep_file(tmp_path: Path) -> Path:
    path = tmp_path / "sweep.yaml"
    path.write_text(SWEEP)
    return path


def test_plan_shows_stages_by_source_and_what_is_known_of_samples(
    sweep_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["plan", str(sweep_file), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    broad, late = document["stages"]
    assert broad["counts"] == {"high": 12, "low": 4}
    assert late["counts"] == {"high": 16, "low": 0}
    assert late["groups"] == {"0.9": 16}
    assert late["epochs"] == {"high": 16 / late["eligible"]["high"]}
    assert document["metadata"]["licence"] == {"share": 0.5, "values": {"CC0": 64}, "distinct": 1}
    assert document["metadata"]["synthetic"]["values"] == {"false": 64, "true": 64}
    assert cli.run(["plan", str(sweep_file)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "learning rate x 0.5" in shown
    assert "quality 100% 0.4 to 0.9" in shown


def test_check_warns_of_searched_weights_beyond_a_cap(sweep_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["check", str(sweep_file), "--json"]) == 0
    warnings = {warning["where"]: warning for warning in json.loads(capsys.readouterr().out)["warnings"]}
    told = warnings["search_space.data.stages.broad.weights"]
    assert told["line"] == 17
    assert told["message"].endswith("write `max: {low: 0.8}`")
    assert "0.4 (51)" in warnings["data.stages.late"]["message"], "what a condition leaves out is counted"


@pytest.mark.parametrize("command", ["check", "plan"])
def test_a_mixture_that_the_data_cannot_carry_is_refused_before_anything_runs(
    sweep_file: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    sweep_file.write_text(SWEEP.replace("max_share: 0.4", "max_share: 0.1"))
    assert cli.run([command, str(sweep_file)]) == 2
    told = capsys.readouterr().err
    assert "sweep.yaml:9: data.stages.broad.weights: the data of low cannot carry its weight" in told
    assert "the largest weights that work are 0.2 for low in broad" in told
