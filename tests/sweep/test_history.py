"""What earlier trials took: which of them count, and what they say about other sizes."""

import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from posttrain.config import SweepConfig
from posttrain.paths import RunPaths
from posttrain.sweep.history import PastTrial, is_alike, past_trials

HERE = {"node": "here", "machine": "x86_64", "cpus": 2, "memory_bytes": 100, "gpus": []}
CONFIG: dict[str, Any] = {
    "name": "s",
    "model": {"checkpoint": "tiny:predict2.5", "family": "cosmos-predict", "frames": 9, "height": 32, "width": 32},
    "strategy": {"type": "lora"},
    "data": {"sources": {"a": {"path": "a"}}},
    "training": {"steps": 10, "batch_size": 4, "learning_rate": 1e-4},
    "evaluation": {"every": 4},
    "search_space": {"training.batch_size": {"choice": [4, 8]}},
}
RESULT = {"status": "completed", "steps": 10, "seconds": {"gate": 3.0, "training": 20.0, "evaluation": 6.0}}


def config(**changes: Any) -> SweepConfig:
    document = copy.deepcopy(CONFIG)
    for path, value in changes.items():
        *sections, key = path.split(".")
        section = document
        for name in sections:
            section = section.setdefault(name, {})
        section[key] = value
    return SweepConfig.model_validate(document)


def write(root: Path, sweep: SweepConfig, hardware: dict[str, Any], **results: dict[str, Any]) -> None:
    run = RunPaths(root)
    run.root.mkdir(parents=True)
    run.sweep_yaml.write_text(yaml.safe_dump(sweep.model_dump(mode="json")), encoding="utf-8")
    run.environment_json.write_text(json.dumps({"hardware": hardware}), encoding="utf-8")
    for trial_id, result in results.items():
        run.trial(trial_id).root.mkdir(parents=True)
        run.trial(trial_id).result_json.write_text(json.dumps(result), encoding="utf-8")


def test_a_trial_that_trained_counts_with_its_own_batch(tmp_path: Path) -> None:
    bigger = {**RESULT, "parameters": {"training.batch_size": 8}, "peak_memory_bytes": 5}
    gated = {"status": "gated", "steps": 0, "seconds": {"gate": 3.0}}
    base = {"status": "completed", "steps": 0, "seconds": {}}
    write(tmp_path / "old", config(), HERE, t0000=base, t0001=RESULT, t0002=bigger, t0003=gated)
    first, second = past_trials(tmp_path, config(name="other"), HERE)
    assert first == PastTrial(str(tmp_path / "old"), 10, 4, 4, 20.0, 6.0, 3, 3.0, 60 * 16, None)
    assert (second.batch_size, second.micro_batch_size, second.peak_memory_bytes) == (8, 8, 5)


@pytest.mark.parametrize(
    "changes",
    [
        {"model.checkpoint": "tiny:predict2"},
        {"strategy": {"type": "full"}},
        {"training.precision": "fp32"},
        {"resources.workers": 2},
        {"training.gradient_checkpointing": True},
    ],
)
def test_another_kind_of_training_tells_nothing(tmp_path: Path, changes: dict[str, Any]) -> None:
    write(tmp_path / "old", config(), HERE, t0001=RESULT)
    assert past_trials(tmp_path, config(**changes), HERE) == []
    assert len(past_trials(tmp_path, config(), HERE)) == 1


def test_other_sizes_count_by_their_pixels_where_no_trial_has_the_same(tmp_path: Path) -> None:
    write(tmp_path / "small", config(), HERE, t0001=RESULT)
    large = config(**{"model.height": 64, "model.width": 64})
    assert [trial.scale for trial in past_trials(tmp_path, large, HERE)] == [4.0]
    write(tmp_path / "large", large, HERE, t0001=RESULT)
    assert [(trial.run, trial.scale) for trial in past_trials(tmp_path, large, HERE)] == [
        (str(tmp_path / "large"), 1.0)
    ]
    assert past_trials(tmp_path, config(**{"model.height": None}), HERE) == [], "a default that the file does not tell"


def test_other_hardware_tells_nothing() -> None:
    gpu, other = {"name": "H200"}, {"name": "L4"}
    assert is_alike(HERE, {**HERE, "cpus": 64}), "the same machine"
    assert is_alike(HERE, {**HERE, "node": "a container's name"})
    assert not is_alike(HERE, {**HERE, "node": "there", "cpus": 64})
    assert is_alike({**HERE, "gpus": [gpu]}, {"node": "there", "gpus": [gpu]})
    assert not is_alike({**HERE, "gpus": [gpu]}, {**HERE, "gpus": [other]})
    assert not is_alike({**HERE, "gpus": [gpu]}, HERE)
    assert not is_alike({}, HERE)


def test_damaged_runs_are_passed_over(tmp_path: Path) -> None:
    assert past_trials(tmp_path / "nowhere", config(), HERE) == []
    write(tmp_path / "a", config(), HERE, t0001=RESULT)
    (tmp_path / "a" / "sweep.yaml").write_text("checkpoint: [tiny:predict2.5")
    write(tmp_path / "b", config(), HERE, t0001=RESULT)
    (tmp_path / "b" / "environment.json").write_text("{")
    write(tmp_path / "c", config(), HERE, t0001=RESULT)
    (tmp_path / "c" / "trials" / "t0001" / "result.json").write_text("{")
    assert past_trials(tmp_path, config(), HERE) == []


def test_the_newest_runs_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posttrain.sweep.history.MOST_RUNS", 2)
    for age, name in enumerate(("c", "a", "b")):
        write(tmp_path / name, config(), HERE, t0001=RESULT)
        os.utime(tmp_path / name / "sweep.yaml", (1000 - age, 1000 - age))
    assert [Path(trial.run).name for trial in past_trials(tmp_path, config(), HERE)] == ["c", "a"]
