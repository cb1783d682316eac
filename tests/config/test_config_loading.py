"""Sweep files that hold: values, defaults, inheritance, overrides, origins, and what is written back."""

import pickle
from pathlib import Path

import pytest
import yaml

from posttrain import paths
from posttrain.config import (
    LoadedSweep,
    LogUniform,
    Simplex,
    TrialConfig,
    dump_resolved,
    load_sweep,
    load_trial,
    trial_config,
    trial_yaml,
)
from posttrain.errors import ConfigError

from .conftest import SWEEP, Write


def test_a_whole_file_is_read(sweep: LoadedSweep) -> None:
    config = sweep.config
    assert config.training.learning_rate == 1e-4
    assert config.data.stages is not None
    assert config.data.stages[0].weights is None
    assert config.data.stages[1].weights == {"high": 1.0, "low": 0.0}
    assert isinstance(config.search_space["training.learning_rate"], LogUniform)
    assert isinstance(config.search_space["data.stages.broad.weights"], Simplex)
    assert config.search_space["strategy.rank"].when == {"strategy.type": "lora"}
    assert sweep.search_space_file is None
    assert sweep.warnings == []


def test_only_the_required_keys_are_needed(write: Write) -> None:
    text = (
        "name: a\nmodel: {checkpoint: tiny:predict2.5}\nstrategy: {type: lora}\ndata: {sources: {s: {path: x}}}\n"
        "training: {steps: 40, batch_size: 8, learning_rate: 1e-4}\n"
    )
    loaded = load_sweep(write(text=text))
    assert loaded.search_space_file == paths.shipped("search_spaces/cosmos-predict-lora.yaml")
    assert "training.learning_rate" in loaded.config.search_space
    assert loaded.config.overfit is not None
    assert loaded.config.evaluation.suite_names == ("held_out",)
    assert loaded.config.evaluation.eval_every(40) == 5


@pytest.mark.parametrize("word", ["off", "false", "null"])
def test_the_gate_and_psnr_can_be_off(write: Write, word: str) -> None:
    loaded = load_sweep(write(("training:\n", f"overfit: {word}\nevaluation: {{psnr: {word}}}\ntraining:\n")))
    assert loaded.config.overfit is None
    assert loaded.config.evaluation.psnr is None
    assert [warning.where for warning in loaded.warnings] == ["overfit"]
    assert load_sweep(write(text=dump_resolved(loaded))).config == loaded.config


def test_weights_are_scaled_and_that_is_said(write: Write) -> None:
    loaded = load_sweep(write(("weights: {high: 1}", "weights: {high: 3, low: 1}")))
    assert loaded.config.data.stages is not None
    assert loaded.config.data.stages[1].weights == {"high": 0.75, "low": 0.25}
    (warning,) = loaded.warnings
    assert (warning.where, warning.line) == ("data.stages.focused.weights", 12)


def test_inherited_values_stand_below_and_overrides_above(write: Write, tmp_path: Path) -> None:
    write(name="base.yaml")
    text = "defaults: base.yaml\nname: child\ntraining: {steps: 80}\nsearch_space:\n  strategy.rank: {choice: [2, 4]}\n"
    loaded = load_sweep(
        write(text=text, name="child.yaml"), ["training.batch_size=4", "data.stages.broad.fraction=0.7"]
    )
    config = loaded.config
    assert (config.name, config.training.steps, config.training.batch_size) == ("child", 80, 4)
    assert config.training.learning_rate == 1e-4
    assert config.search_space["strategy.rank"].when is None  # a dimension is replaced whole
    origins = loaded.origins
    assert origins["training.steps"] == f"{tmp_path}/child.yaml:3"
    assert origins["training.learning_rate"] == f"{tmp_path}/base.yaml:17"
    assert origins["training.batch_size"] == "command line"
    assert origins["data.stages.broad.fraction"] == "command line"
    assert origins["training.warmup"] == "default"


def test_inheritance_goes_over_several_files_and_folders(write: Write, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    write(name="deep/base.yaml")
    write(text="defaults: base.yaml\ntraining: {seed: 7}\n", name="deep/middle.yaml")
    loaded = load_sweep(write(text="defaults: deep/middle.yaml\nname: top\n", name="top.yaml"))
    assert (loaded.config.name, loaded.config.training.seed, loaded.config.training.steps) == ("top", 7, 40)
    assert loaded.base_dir == tmp_path


def test_inheritance_in_a_circle_is_refused(write: Write) -> None:
    write(text="defaults: a.yaml\n", name="b.yaml")
    path = write(text="defaults: b.yaml\n", name="a.yaml")
    with pytest.raises(ConfigError, match=r"b\.yaml:1: defaults: goes in a circle"):
        load_sweep(path)


def test_a_search_space_file_is_read_beside_the_sweep_or_from_the_shipped_ones(write: Write, tmp_path: Path) -> None:
    head = SWEEP.partition("search_space:")[0]
    write(text="strategy.rank: {choice: [2, 4]}\n", name="space.yaml")
    loaded = load_sweep(write(text=f"{head}search_space: space.yaml\n"))
    assert loaded.search_space_file == tmp_path / "space.yaml"
    assert list(loaded.config.search_space) == ["strategy.rank"]
    assert loaded.origins["search_space.strategy.rank"] == f"{tmp_path}/space.yaml:1"
    loaded = load_sweep(write(text=head), ["search_space=cosmos-predict-lora.yaml"])
    assert loaded.search_space_file == paths.shipped("search_spaces/cosmos-predict-lora.yaml")


def test_overrides_reach_every_kind_of_place(write: Write) -> None:
    overrides = [
        "training.learning_rate=3e-4",
        "training.conditioning_frames={1: 1.0}",
        "data.sources.extra={path: more}",
        "data.sources.extra.quality=0.5",
        "data.augmentations.caption_dropout.probability=0.2",
        "data.stages.focused.weights.low=1",
        "search_space.training.batch_size={choice: [4, 8]}",
        "overfit=off",
        "evaluation.suites.held_out.source=high",
    ]
    config = load_sweep(write(), overrides).config
    assert config.training.learning_rate == 3e-4
    assert config.training.conditioning_frames == {1: 1.0}
    assert config.data.sources["extra"].quality == 0.5
    assert config.data.augmentations[0].probability == 0.2
    assert config.data.stages is not None
    assert config.data.stages[1].weights == {"high": 0.5, "low": 0.5, "extra": 0.0}
    assert "training.batch_size" in config.search_space
    assert config.overfit is None
    assert config.evaluation.suite_names == ("held_out",)


def test_the_resolved_file_is_the_same_sweep_and_says_where_each_value_came_from(
    sweep: LoadedSweep, write: Write
) -> None:
    text = dump_resolved(sweep)
    assert load_sweep(write(text=text, name="resolved.yaml")).config == sweep.config
    plain = yaml.safe_load(text)
    assert plain["training"]["learning_rate"] == 1e-4
    assert plain["search"]["objective"] == {"metric": "held_out/loss", "mode": "min"}
    (warmup,) = [line for line in text.splitlines() if "warmup:" in line]
    assert warmup.endswith("# default")
    (batch_size,) = [line for line in text.splitlines() if "batch_size: 8" in line]
    assert batch_size.endswith("sweep.yaml:16")


def test_a_trial_is_written_and_read_back_equal(sweep: LoadedSweep) -> None:
    trial = trial_config(sweep.config)
    assert type(trial) is TrialConfig
    assert load_trial(trial_yaml(sweep.config)) == trial
    assert TrialConfig.model_validate(trial.model_dump()) == trial
    assert TrialConfig.model_validate_json(trial.model_dump_json()) == trial


def test_a_loaded_sweep_survives_pickling(sweep: LoadedSweep) -> None:
    assert pickle.loads(pickle.dumps(sweep)) == sweep


def test_an_issue_about_a_loaded_sweep_finds_its_line(sweep: LoadedSweep) -> None:
    issue = sweep.issue("data.sources.low", "has no videos")
    assert (issue.file, issue.line) == (str(sweep.path), 7)


RL = """\
name: rl
model: {checkpoint: some/reasoner}
strategy: {type: rl}
data: {sources: {s: {path: rows.json}}}
training: {steps: 40, batch_size: 8, learning_rate: 1e-6}
search_space: {training.learning_rate: {loguniform: [1e-6, 2e-6]}}
"""


def test_the_checkpoint_tells_the_family_and_the_kind_its_defaults(write: Write) -> None:
    loaded = load_sweep(write(text=RL), family_of=lambda checkpoint, _: {"some/reasoner": "vlm"}.get(checkpoint))
    config = loaded.config
    assert (config.model.family, config.search.objective.metric) == ("vlm", "held_out/reward")
    assert config.training.schedule == "constant"
    assert loaded.origins["model.family"] == "the checkpoint"
    assert loaded.origins["search.objective.metric"] == loaded.origins["training.schedule"] == "default for rl"
    text = dump_resolved(loaded)
    assert "conditioning_frames" not in text, "what RL does not read is not shown"
    assert load_sweep(write(text=text, name="resolved.yaml")).config == config


def test_what_a_file_says_goes_before_the_kinds_defaults(write: Write) -> None:
    text = RL.replace("1e-6}\n", "1e-6, schedule: linear}\n") + "overfit: off\n"
    config = load_sweep(write(text=text), family_of=lambda *_: "vlm").config
    assert config.training.schedule == "linear"
    assert config.overfit is None


def test_a_file_and_its_checkpoint_may_not_contradict_a_rule(write: Write) -> None:
    with pytest.raises(ConfigError, match="`RL is for vision-language models`"):
        load_sweep(write(text=RL), family_of=lambda *_: "cosmos-predict")
