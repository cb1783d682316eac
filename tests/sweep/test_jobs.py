"""A slot's jobs, run in this process: the preparation, and trials that end in every way a job can."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from posttrain.config import merge
from posttrain.data import prepare, write_manifest
from posttrain.errors import ModelError
from posttrain.models import clip_of, describe
from posttrain.paths import RunPaths
from posttrain.sweep.jobs import run_job
from posttrain.sweep.protocol import Job
from tests.tiny_trial import trial_config


class Alone:
    """A link to nobody: it lets everything run and remembers what was said."""

    rank, world_size = 0, 1

    def __init__(self, stop: bool = False) -> None:
        self.stop = stop
        self.reports: list[tuple[int, Mapping[str, float]]] = []
        self.notes: list[Mapping[str, Any]] = []

    def report(self, step: int, values: Mapping[str, float]) -> str | None:
        self.reports.append((step, values))
        return None

    def should_stop(self) -> bool:
        return self.stop

    def note(self, event: Mapping[str, Any]) -> None:
        self.notes.append(event)


@pytest.fixture(scope="module")
def payload(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What every job of one sweep gets; its preparation is done."""
    assert tiny.is_dir()
    config = trial_config()
    run = RunPaths(tmp_path_factory.mktemp("run"))
    write_manifest(prepare(config, clip_of(config.model, describe(config.model.checkpoint)), Path()), run)
    common = {
        "run": str(run.root),
        "base_dir": ".",
        "objective": {"metric": "seen/loss", "mode": "min"},
        "config": config.model_dump(),
        "parameters": {},
    }
    prepared = run_job(
        Job("prepare", "prepare", {**common, "gate": {}, "data": config.data.model_dump(), "searched": {}}), Alone()
    )
    assert prepared["status"] == "completed"
    return common


def test_the_preparation_measures_the_base_as_trial_0(payload: dict[str, Any]) -> None:
    result = json.loads(RunPaths(Path(payload["run"])).trial("t0000").result_json.read_text())
    assert result["objective"]["value"] > 0
    assert result["codec_psnr"]["seen"] > result["metrics"]["seen/psnr"]["best"]


def test_a_trial_reports_its_objective_and_writes_its_result(payload: dict[str, Any]) -> None:
    link = Alone()
    config = merge(trial_config(), {}).model_copy(update={"overfit": None})
    result = run_job(Job("t0001", "trial", {**payload, "config": config.model_dump()}), link)
    assert result["status"] == "completed"
    assert result["value"] == min(values["objective"] for _, values in link.reports)
    assert json.loads(RunPaths(Path(payload["run"])).trial("t0001").result_json.read_text())["steps"] == result["steps"]
    written = json.loads(RunPaths(Path(payload["run"])).trial("t0001").result_json.read_text())
    assert written["mixture"] == {"all": {"fixed": 24, "tracking": 24}}
    assert {name: each["samples"] for name, each in written["exposure"]["all"].items()} == written["mixture"]["all"]
    again = run_job(Job("t0001", "trial", payload), Alone())
    assert again["value"] == result["value"], "a trial that had ended is not trained again"
    phases = [(note["phase"], note["step"], note["steps"]) for note in link.notes if "phase" in note]
    assert phases[0] == ("training", 0, 12)
    assert [phase for phase in phases if phase[0] == "evaluating"] == [("evaluating", step, 12) for step in (4, 8, 12)]


def test_a_failure_leaves_its_traceback(payload: dict[str, Any]) -> None:
    config = merge(trial_config(), {"strategy.rank": 999}).model_copy(update={"overfit": None})
    with pytest.raises(ModelError, match="rank"):
        run_job(Job("t0002", "trial", {**payload, "config": config.model_dump()}), Alone())
    assert "ModelError" in RunPaths(Path(payload["run"])).trial("t0002").error_txt.read_text()


def test_what_is_no_valid_configuration_is_gated_with_the_reason(payload: dict[str, Any]) -> None:
    result = run_job(Job("t0003", "trial", {**payload, "invalid": "batch_size: found 5"}), Alone())
    assert result["status"] == "gated"
    assert "batch_size: found 5" in result["reason"]


def test_a_stop_during_the_gate_leaves_the_trial_open(payload: dict[str, Any]) -> None:
    config = merge(trial_config(), {"training.learning_rate": 3.21e-3})  # a verdict that is not in the cache
    assert config.overfit is not None
    link = Alone(stop=True)
    result = run_job(Job("t0004", "trial", {**payload, "config": config.model_dump()}), link)
    assert result["status"] == "interrupted"
    assert link.notes == [{"phase": "gate"}, {"phase": "gate", "step": 1, "steps": config.overfit.steps}]
    assert not RunPaths(Path(payload["run"])).trial("t0004").result_json.exists()
