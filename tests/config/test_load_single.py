"""A sweep file read as one trial's configuration."""

from pathlib import Path

import pytest
import yaml

from posttrain.config import load_single, load_trial, trial_config, trial_yaml
from posttrain.config.resolved import dump_resolved
from posttrain.errors import ConfigError

SWEEP = """\
name: mine
model: {checkpoint: tiny:predict2.5, family: cosmos-predict}
strategy: {type: lora, rank: 4}
data:
  sources: {a: {path: clips}, b: {path: more}}
  stages: [{name: all, fraction: 1.0, weights: {a: 0.5, b: 0.5}}]
training: {steps: 20, batch_size: 2, learning_rate: 0.01}
search_space:
  no.such.path: {choice: [1]}
  training.learning_rate: {loguniform: [0.1, 0.001]}
"""
DRAWN = {"training.learning_rate": 0.003, "strategy.rank": 16, "data.stages.all.weights": {"a": 0.8, "b": 0.2}}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "sweep.yaml"
    path.write_text(SWEEP)
    return path


def test_the_search_space_is_not_looked_at(file: Path) -> None:
    loaded = load_single(file)
    assert loaded.config.training.learning_rate == 0.01
    assert "search_space" not in yaml.safe_load(dump_resolved(loaded))
    assert loaded.base_dir == file.parent


def test_other_mistakes_are_told_with_their_lines(file: Path) -> None:
    with pytest.raises(ConfigError) as error:
        load_single(file, ["training.stepz=1", "search.objective.metric=elsewhere/loss"])
    assert [issue.where for issue in error.value.issues] == ["training.stepz", "search.objective.metric"]


def test_the_values_of_a_trial_replace_those_of_the_file_and_overrides_win(file: Path) -> None:
    loaded = load_single(file, ["strategy.rank=2", "training.steps=40"], parameters=DRAWN)
    config = loaded.config
    assert (config.training.learning_rate, config.training.steps) == (0.003, 40)
    assert config.strategy.model_dump()["rank"] == 2
    assert (config.data.stages or ())[0].weights == {"a": 0.8, "b": 0.2}
    assert loaded.origins["training.learning_rate"] == "the trial taken by --from"
    assert loaded.origins["strategy.rank"] == "command line"


def test_values_that_do_not_fit_the_file_are_an_error(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"strategy\.generations"):
        load_single(file, parameters={"strategy.generations": 8})


def test_a_trial_yaml_reads_as_the_trial_that_wrote_it(file: Path, tmp_path: Path) -> None:
    before = load_single(file, parameters=DRAWN)
    written = tmp_path / "elsewhere" / "trial.yaml"
    written.parent.mkdir()
    written.write_text(trial_yaml(before.config))
    again = load_single(written, base_dir=file.parent)
    assert trial_config(again.config) == trial_config(before.config) == load_trial(written.read_text())
    assert again.base_dir == file.parent
