"""A run directory is opened for one driver and one sweep file, and --fresh deletes nothing but a run."""

import json
from pathlib import Path

import pytest

from posttrain.config import LoadedSweep, load_sweep
from posttrain.errors import ConfigError
from posttrain.paths import RunPaths
from posttrain.sweep.rundir import ResumeRules, open_run

SWEEP = """
name: mine
model: {checkpoint: tiny:predict2.5}
strategy: {type: lora}
data: {sources: {a: {path: clips}}}
training: {steps: 20, batch_size: 2, learning_rate: 0.01}
search_space: {training.learning_rate: {loguniform: [0.001, 0.01]}}
"""


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedSweep:
    file = tmp_path / "sweep.yaml"
    file.write_text(SWEEP)
    return load_sweep(file, [])


def test_fresh_deletes_an_earlier_run(loaded: LoadedSweep, tmp_path: Path) -> None:
    run = RunPaths(tmp_path / "runs" / "mine")
    with open_run(loaded, run, fresh=False):
        run.trials.mkdir()
    with open_run(loaded, run, fresh=True):
        assert not run.trials.exists()


def test_fresh_deletes_no_folder_that_is_no_run(loaded: LoadedSweep, tmp_path: Path) -> None:
    precious = tmp_path / "mine" / "videos" / "clip.mp4"
    precious.parent.mkdir(parents=True)
    precious.write_bytes(b"clip")
    with pytest.raises(ConfigError, match="no run"), open_run(loaded, RunPaths(tmp_path / "mine"), fresh=True):
        pass
    assert precious.read_bytes() == b"clip"


def test_a_broken_sweep_yaml_is_told(loaded: LoadedSweep, tmp_path: Path) -> None:
    run = RunPaths(tmp_path / "runs" / "mine")
    run.root.mkdir(parents=True)
    run.sweep_yaml.write_text("a: [\n")
    with pytest.raises(ConfigError, match=r"sweep\.yaml: cannot be read"), open_run(loaded, run, fresh=False):
        pass


def test_a_changed_file_is_refused_with_what_changed(loaded: LoadedSweep, tmp_path: Path) -> None:
    run = RunPaths(tmp_path / "runs" / "mine")
    with open_run(loaded, run, fresh=False):
        pass
    with open_run(load_sweep(loaded.path, ["search.trials=40", "resources.slots=2"]), run, fresh=False):
        pass
    longer = load_sweep(loaded.path, ["training.steps=40"])
    with (
        pytest.raises(ConfigError, match=r"training\.steps: 20 -> 40\); another number of steps") as refused,
        open_run(longer, run, fresh=False),
    ):
        pass
    assert "--fresh" in str(refused.value)


def test_a_run_without_a_checkpoint_may_be_replaced(loaded: LoadedSweep, tmp_path: Path) -> None:
    rules = ResumeRules(("resources",), "start over", replaces_untrained=True)
    run = RunPaths(tmp_path / "runs" / "mine")
    longer = load_sweep(loaded.path, ["training.steps=40"])
    with open_run(loaded, run, fresh=False, rules=rules) as replaced:
        assert not replaced
        (run.trials / "t0001").mkdir(parents=True)
    with open_run(longer, run, fresh=False, rules=rules) as replaced:
        assert replaced
        assert not run.trials.exists()
        (run.trials / "t0001/checkpoints/step-000004").mkdir(parents=True)
    with pytest.raises(ConfigError, match="40 -> 20"), open_run(loaded, run, fresh=False, rules=rules):
        pass
    assert (run.trials / "t0001/checkpoints/step-000004").is_dir()


def test_the_run_records_where_relative_paths_start(loaded: LoadedSweep, tmp_path: Path) -> None:
    run = RunPaths(tmp_path / "runs" / "mine")
    with open_run(loaded, run, fresh=False):
        pass
    assert json.loads(run.environment_json.read_text())["base_dir"] == str(tmp_path)
