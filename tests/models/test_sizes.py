"""Sizes from file headers equal what is loaded."""

from pathlib import Path

from posttrain.config import TrialConfig
from posttrain.models import describe
from posttrain.models.catalog import CheckpointInfo
from posttrain.models.sizes import sizes_of
from posttrain.training.video_bench import VideoBench
from tests.tiny_trial import trial_config


def test_parameters_are_counted_without_loading(bench: VideoBench, tiny: Path) -> None:
    config = trial_config({"strategy.rank": 4})
    found = sizes_of(config, describe("tiny:predict2.5"))
    assert found is not None
    held = sum(value.numel() for value in bench.family.published_state("transformer").values())
    assert found.base == found.trained == held
    assert sizes_of(config, CheckpointInfo(describe("tiny:predict2.5").generation, tiny)) == found


def test_adapters_are_counted_as_peft_makes_them(bench: VideoBench) -> None:
    from posttrain.strategies import STRATEGIES

    config = trial_config({"strategy.rank": 4})
    found = sizes_of(config, describe("tiny:predict2.5"))
    strategy = STRATEGIES["lora"](config.strategy)
    parameters = strategy.attach(bench.model, seed=0)
    strategy.detach(bench.model)
    assert found is not None
    assert found.adapters == sum(parameter.numel() for parameter in parameters)


def test_a_checkpoint_that_is_not_here_has_no_size() -> None:
    config = TrialConfig.model_validate(trial_config().model_dump() | {"model": {"checkpoint": "nobody/nothing"}})
    assert sizes_of(config, CheckpointInfo(describe("tiny:predict2.5").generation, None)) is None
