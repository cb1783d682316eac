"""Sizes from file headers equal what is loaded."""

from pathlib import Path
from typing import Any

import pytest

from posttrain.config import TrialConfig
from posttrain.errors import ModelError
from posttrain.models import describe
from posttrain.models.catalog import CheckpointInfo
from posttrain.models.layers import linear_layers, published_layers
from posttrain.models.sizes import check_adapter, sizes_of
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


@pytest.mark.parametrize(
    ("changes", "ranks", "message"),
    [
        ({"strategy.target_modules": ["to_qq"]}, [4], "strategy.target_modules: 'to_qq' .* did you mean 'to_q'"),
        ({}, [4, 4096], "strategy.rank: 4096 exceeds the width"),
    ],
)
def test_an_adapter_that_cannot_fit_is_told_before_anything_is_loaded(
    tiny: Path, changes: dict[str, Any], ranks: list[int], message: str
) -> None:
    info = CheckpointInfo(describe("tiny:predict2.5").generation, tiny)
    check_adapter(trial_config(), info, [4])
    with pytest.raises(ModelError, match=message):
        check_adapter(trial_config(changes), info, ranks)


def test_layers_in_memory_are_those_of_the_files(bench: VideoBench, tiny: Path) -> None:
    inside, outside = linear_layers(bench.family.transformer), published_layers(tiny / "transformer")
    assert inside.items() <= outside.items()
    assert {name.split(".")[0] for name in outside.keys() - inside.keys()} == {"crossattn_proj"}


def test_a_built_in_checkpoint_is_counted_and_checked_on_a_fresh_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTTRAIN_CACHE", str(tmp_path))
    found = sizes_of(trial_config(), describe("tiny:predict2.5"))
    assert found is not None
    assert found.trained > 500_000
    with pytest.raises(ModelError, match="exceeds the width"):
        check_adapter(trial_config(), describe("tiny:predict2.5"), [4096])


def test_a_checkpoint_that_is_not_here_has_no_size() -> None:
    config = TrialConfig.model_validate(trial_config().model_dump() | {"model": {"checkpoint": "nobody/nothing"}})
    assert sizes_of(config, CheckpointInfo(describe("tiny:predict2.5").generation, None)) is None
