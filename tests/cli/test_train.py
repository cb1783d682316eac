"""`posttrain train`: one trial in this process, with the run directory of a sweep, and without Ray."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from posttrain import cli
from posttrain.cli.export import write_export
from posttrain.config import dump_resolved, load_sweep, load_trial, merge, trial_config, trial_yaml
from posttrain.data import demo
from posttrain.models.reading import family_of
from posttrain.paths import RunPaths
from tests.training.trial_files import assert_same_trial, checkpoint_steps

pytestmark = pytest.mark.slow
SWEEP = """
name: mine
model: {checkpoint: tiny:predict2.5}
strategy: {type: lora, rank: 4}
data: {sources: {own: {path: clips}}}
training: {steps: 4, batch_size: 4, learning_rate: 1.0e-2, precision: fp32}
evaluation: {every: 2, suites: {held_out: {source: own, samples: 2}}, psnr: {clips: 1, sampler_steps: 2}}
overfit: off
search_space: {training.learning_rate: {loguniform: [1.0e-3, 1.0e-1]}, strategy.rank: {choice: [4, 8]}}
search: {trials: 3}
"""
# Runs the command line and prints the exit code and which of the search's libraries were loaded.
SCRIPT = """
import sys
from posttrain import cli
code = cli.run(sys.argv[1:])
print(code, [name for name in ("ray", "optuna") if name in sys.modules])
"""


def write_sweep(folder: Path) -> Path:
    """A sweep file whose data is named relative to it."""
    file = folder / "sweep.yaml"
    file.write_text(SWEEP, encoding="utf-8")
    (folder / "clips").symlink_to(demo.resolve("shapes/fixed-high"))
    return file


@pytest.fixture(scope="module")
def runs(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished training; the sweep file lies beside it."""
    assert tiny.is_dir()
    folder = tmp_path_factory.mktemp("train")
    assert cli.run(["train", str(write_sweep(folder)), "--runs", str(folder / "runs")]) == 0
    return folder / "runs"


def result(run: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(RunPaths(run).trial("t0001").result_json.read_text())
    return document


def test_the_result_is_a_run_directory(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = runs / "mine-train"
    summary = json.loads((run / "summary.json").read_text())
    trained = result(run)
    assert (summary["status"], summary["best"]["trial"], trained["steps"]) == ("completed", "t0001", 4)
    assert (
        summary["best"]["value"] == trained["metrics"]["held_out/loss"]["best"] != summary["baseline"]["held_out/loss"]
    )
    assert cli.run(["status", str(run)]) == 0
    assert "1 of 1 trials ended" in capsys.readouterr().out
    write_export(run, tmp_path / "out")
    assert (tmp_path / "out" / "pytorch_lora_weights.safetensors").is_file()


def test_a_finished_training_is_not_repeated(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", str(runs.parent / "sweep.yaml"), "--runs", str(runs)]
    written = (runs / "mine-train/trials/t0001/result.json").stat().st_mtime_ns
    assert cli.run([*command, "search.trials=7", "resources.slots=1"]) == 0
    assert "t0001 has completed already" in capsys.readouterr().out
    assert (runs / "mine-train/trials/t0001/result.json").stat().st_mtime_ns == written
    assert cli.run([*command, "training.steps=8", "training.learning_rate=0.02"]) == 2
    told = capsys.readouterr().err
    assert "training.learning_rate: 0.01 -> 0.02; training.steps: 4 -> 8" in told
    assert "--fresh" in told


def test_interrupted_and_resumed_is_straight_and_loads_no_ray(runs: Path, tmp_path: Path) -> None:
    longer = ["train", str(runs.parent / "sweep.yaml"), "training.steps=24", "evaluation.every=4", "name=long"]
    command = [sys.executable, "-c", SCRIPT, *longer, "--runs", str(tmp_path / "interrupted")]
    trial = RunPaths(tmp_path / "interrupted/long-train").trial("t0001")
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"}) as process:
        while process.poll() is None and 4 not in checkpoint_steps(trial):
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate()
    assert output.decode().splitlines()[-1] == "3 []"
    interrupted_at = json.loads(trial.result_json.read_text())["steps"]
    assert 4 <= interrupted_at < 24
    assert cli.run([*longer, "--runs", str(tmp_path / "interrupted")]) == 0
    assert cli.run([*longer, "--runs", str(tmp_path / "straight")]) == 0
    straight = RunPaths(tmp_path / "straight/long-train").trial("t0001")
    assert_same_trial(trial, straight, 24, train_curves=interrupted_at % 4 == 0)


@pytest.fixture
def swept(tiny: Path, tmp_path: Path) -> RunPaths:
    """A run directory as a sweep leaves it, of which t0002 is the winner; only what is read is there."""
    assert tiny.is_dir()
    loaded = load_sweep(write_sweep(tmp_path), ["overfit={steps: 2}"], family_of)
    run = RunPaths(tmp_path / "runs" / "mine")
    for number, (rate, value) in enumerate([(0.01, 0.9), (0.005, 0.7)], start=1):
        trial = run.trial(f"t{number:04d}")
        trial.root.mkdir(parents=True)
        drawn = {"training.learning_rate": rate, "strategy.rank": 8}
        trial.trial_yaml.write_text(trial_yaml(merge(trial_config(loaded.config), drawn)))
        objective = {"metric": "held_out/loss", "mode": "min", "value": value, "step": 4}
        ended = {"id": trial.root.name, "status": "completed", "parameters": drawn, "objective": objective, "steps": 4}
        trial.result_json.write_text(json.dumps(ended))
    run.sweep_yaml.write_text(dump_resolved(loaded))
    run.environment_json.write_text(json.dumps({"base_dir": str(tmp_path)}))
    return run


def test_a_winner_is_trained_to_another_length(
    swept: RunPaths, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert cli.run(["train", "--from", str(swept.root), "training.steps=2", "evaluation.every=1"]) == 0
    trial = RunPaths(Path("runs/mine-t0002")).trial("t0001")
    config = load_trial(trial.trial_yaml.read_text())
    assert (config.training.learning_rate, config.strategy.model_dump()["rank"], config.training.steps) == (0.005, 8, 2)
    assert result(Path("runs/mine-t0002"))["parameters"] == {"training.learning_rate": 0.005, "strategy.rank": 8}
    assert not trial.overfit_json.exists(), "it has passed the gate in its sweep"
    assert cli.run(["train", "--from", "runs/mine-t0002", "training.steps=1", "evaluation.every=1"]) == 0


def test_searched_values_are_trained_on_the_data_of_a_file(swept: RunPaths, tmp_path: Path) -> None:
    file = tmp_path / "full.yaml"
    file.write_text(
        SWEEP.replace("mine", "full").replace("own: {path: clips}", "all: {path: clips}").replace("own", "all")
    )
    short = ["training.steps=1", "evaluation.every=1", "--runs", str(tmp_path / "runs")]
    assert cli.run(["train", str(file), "--from", str(swept.root), "--trial", "t0001", *short]) == 0
    config = load_trial(RunPaths(tmp_path / "runs/full-t0001").trial("t0001").trial_yaml.read_text())
    assert (config.training.learning_rate, config.strategy.model_dump()["rank"]) == (0.01, 8)
    assert list(config.data.sources) == ["all"]


def test_what_cannot_be_taken_is_told(swept: RunPaths, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["train", "--from", str(swept.root), "--trial", "t0007"]) == 2
    assert "It has t0001, t0002" in capsys.readouterr().err
    swept.environment_json.write_text("{}")
    assert cli.run(["train", "--from", str(swept.root)]) == 2
    assert "posttrain train FILE --from" in capsys.readouterr().err
    assert cli.run(["train", "training.steps=2"]) == 2
    assert "neither a sweep file nor --from RUN" in capsys.readouterr().err


def test_a_configuration_that_cannot_learn_is_gated(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tiny.is_dir()
    command = ["train", str(write_sweep(tmp_path)), "--runs", str(tmp_path / "runs"), "training.learning_rate=1e-9"]
    assert cli.run([*command, "overfit={steps: 2}"]) == 1
    assert "`overfit=off` trains without the gate" in capsys.readouterr().err
    assert result(tmp_path / "runs/mine-train")["status"] == "gated"
    assert cli.run([*command, "overfit=off"]) == 0
    assert result(tmp_path / "runs/mine-train")["status"] == "completed"


def test_what_fails_or_diverges_can_be_mended_under_the_same_name(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tiny.is_dir()
    command = ["train", str(write_sweep(tmp_path)), "--runs", str(tmp_path / "runs")]
    run = tmp_path / "runs/mine-train"
    assert cli.run([*command, "strategy.rank=999"]) == 2
    assert "rank" in capsys.readouterr().err
    assert result(run)["status"] == "failed"
    assert "ModelError" in RunPaths(run).trial("t0001").error_txt.read_text()
    assert cli.run([*command, "training.learning_rate=1e30", "training.warmup=0"]) == 1
    told = capsys.readouterr()
    assert "started over" in told.out
    assert "diverged" in told.err
    assert yaml.safe_load((run / "sweep.yaml").read_text())["strategy"]["rank"] == 4
    assert cli.run(command) == 0
    assert "started over" in capsys.readouterr().out
