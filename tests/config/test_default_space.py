"""What a file may leave out: learning rate, batch size, search space; and what is said of it."""

import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from posttrain.config import SUPPORT, LoadedSweep, LogUniform, dump_resolved, load_sweep
from posttrain.config.default_space import decade, default_space_file
from posttrain.config.default_values import LEARNING_RATES, TINY
from posttrain.config.own import holds, own_parameters
from posttrain.errors import ConfigError

from .conftest import Write

PAIRS = [pair for pair, cell in SUPPORT.items() if not cell.rule]
RATE = "training.learning_rate"


def short(family: str, strategy: str, *, tiny: bool, **training: Any) -> str:
    """The shortest file of a pair."""
    model = {"checkpoint": "tiny:x" if tiny else "owner/model", "family": family}
    return yaml.safe_dump(
        {
            "name": "short",
            "model": model,
            "strategy": {"type": strategy},
            "data": {"sources": {"mine": {"path": "clips"}}},
            "training": {"steps": 100, **training},
        }
    )


def test_the_tables_have_every_supported_pair() -> None:
    assert set(LEARNING_RATES) == set(TINY) == set(PAIRS)


@pytest.mark.parametrize("tiny", [False, True])
@pytest.mark.parametrize(("family", "strategy"), PAIRS)
def test_a_space_that_is_not_named_holds_the_default_learning_rate(
    write: Write, family: str, strategy: str, tiny: bool
) -> None:
    loaded = load_sweep(write(text=short(family, strategy, tiny=tiny)))
    published, of_tiny = LEARNING_RATES[family, strategy]
    rate = loaded.config.training.learning_rate
    assert rate == (of_tiny if tiny else published)
    space = loaded.config.search_space
    assert isinstance(space[RATE], LogUniform)
    own = own_parameters(loaded.config, space)
    assert own[RATE] == rate
    assert all(holds(space[path], value) for path, value in own.items())
    assert loaded.warnings == []
    assert loaded.config.training.precision == ("fp32" if tiny else "bf16")
    assert loaded.config.training.batch_size == 8
    if tiny:
        assert (space[RATE].low, space[RATE].high) == decade(rate)
        assert loaded.origins["training.precision"] == "default for tiny:"
    else:
        shipped = default_space_file(family, strategy)
        assert shipped is not None
        assert list(space[RATE].loguniform) == yaml.safe_load(shipped.read_text())[RATE]["loguniform"]
    assert loaded.origins[RATE] == f"default for {strategy} on {'tiny:' if tiny else family}"


@pytest.mark.parametrize("rate", [1e-2, 3e-7, 0.25])
@pytest.mark.parametrize("tiny", [False, True])
def test_a_rate_in_the_file_is_searched_over_one_decade_around_it(write: Write, rate: float, tiny: bool) -> None:
    loaded = load_sweep(write(text=short("cosmos-predict", "lora", tiny=tiny, learning_rate=rate)))
    dimension = loaded.config.search_space[RATE]
    assert isinstance(dimension, LogUniform)
    assert math.log10(dimension.high / dimension.low) == pytest.approx(1, abs=0.02)
    assert math.sqrt(dimension.low * dimension.high) == pytest.approx(rate, rel=0.02)
    assert f"{dimension.low:.1e}" == f"{rate / math.sqrt(10):.1e}"
    line = next(line for line in dump_resolved(loaded).splitlines() if "loguniform" in line)
    assert line.endswith(f"# one decade around {rate:g}")
    assert not [warning for warning in loaded.warnings if warning.where.startswith("search_space")]


def test_the_command_line_counts_as_the_file(write: Write) -> None:
    loaded = load_sweep(write(text=short("cosmos-predict", "lora", tiny=False)), ["training.learning_rate=0.01"])
    dimension = loaded.config.search_space[RATE]
    assert isinstance(dimension, LogUniform)
    assert (dimension.low, dimension.high) == (0.0032, 0.032)


def test_lists_and_ranges_hold_the_files_own_values(write: Write) -> None:
    text = short("vlm", "rl", tiny=False).replace("type: rl", "type: rl\n  temperature: 0.7\n  kl: 0.03")
    loaded = load_sweep(write(text=text))
    space = loaded.config.search_space
    assert space["strategy.kl"].model_dump()["choice"] == (0.0, 0.01, 0.03, 0.1)
    assert space["strategy.temperature"].model_dump()["uniform"] == (0.7, 1.0)
    assert loaded.origins["search_space.strategy.kl"].endswith("vlm-rl.yaml with the file's own value")
    assert loaded.config.search_space[RATE].model_dump()["loguniform"] == (1e-6, 2e-6), "the rate is not the file's"


def test_a_space_that_is_named_stays_as_it_is_and_is_warned_of(write: Write) -> None:
    text = short("cosmos-predict", "lora", tiny=False, learning_rate=1e-2) + "search_space: cosmos-predict-lora.yaml\n"
    loaded = load_sweep(write(text=text))
    assert loaded.config.search_space[RATE].model_dump()["loguniform"] == (1.5e-5, 2e-3)
    (warning,) = (warning for warning in loaded.warnings if warning.where == f"search_space.{RATE}")
    assert "0.01 lies outside of its range 1.5e-05 to 0.002" in warning.message
    assert str(warning.file).endswith("cosmos-predict-lora.yaml")
    assert warning.hint == "widen the range to include it"


def test_the_resolved_file_is_read_back_equal(write: Write, tmp_path: Path) -> None:
    loaded: LoadedSweep = load_sweep(write(text=short("cosmos-predict", "lora", tiny=True)))
    assert load_sweep(write(text=dump_resolved(loaded))).config == loaded.config


@pytest.mark.parametrize(
    ("family", "strategy", "where", "message"),
    [
        ("vlm", "lora", "strategy.type", "found 'lora'"),
        ("cosmos-predict", "rl", "strategy.type", "found 'rl'"),
        ("cosmos-predict", "lorra", "strategy.type", "found 'lorra'"),
        ("vlm", "7", "strategy.type", "found 7"),
        ("vlm", "", "strategy", "`type` is missing"),
    ],
)
def test_a_strategy_that_is_wrong_is_the_only_mistake(
    write: Write, family: str, strategy: str, where: str, message: str
) -> None:
    text = short(family, "lora", tiny=True).replace("type: lora", f"type: {strategy}")
    with pytest.raises(ConfigError) as caught:
        load_sweep(write(text=text))
    (issue,) = caught.value.issues
    assert issue.where == where
    assert message in issue.message


def test_a_missing_strategy_is_the_only_mistake(write: Write) -> None:
    text = "\n".join(line for line in short("vlm", "full", tiny=True).splitlines() if "type" not in line)
    with pytest.raises(ConfigError) as caught:
        load_sweep(write(text=text.replace("strategy:", "strategy: {}")))
    (issue,) = caught.value.issues
    assert "`type` is missing" in issue.message


@pytest.mark.parametrize("rate", ["fast", "-1.0e-3", "0", ".inf", "[1, 2]"])
def test_a_rate_that_is_wrong_is_the_only_mistake(write: Write, rate: str) -> None:
    text = short("cosmos-predict", "lora", tiny=True, learning_rate=1).replace(
        "learning_rate: 1", f"learning_rate: {rate}"
    )
    with pytest.raises(ConfigError) as caught:
        load_sweep(write(text=text))
    assert {issue.where for issue in caught.value.issues} == {RATE}


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("training.optimizer", "is no configuration path", "of training there can be searched steps, batch_size"),
        ("training.warmpu", "is no configuration path", "did you mean training.warmup?"),
        ("trainning.warmup", "is no configuration path", "did you mean training.warmup?"),
        ("learning_rate", "is no configuration path", "did you mean training.learning_rate?"),
        ("strategy.type", "cannot be searched", "of strategy there can be searched rank"),
        ("search.trials", "cannot be searched", "there can be searched training.*"),
        ("model.frames", "cannot be searched", "there can be searched training.*"),
    ],
)
def test_a_name_is_near_another_only_if_its_last_part_is(write: Write, name: str, message: str, hint: str) -> None:
    text = short("cosmos-predict", "lora", tiny=True) + f"search_space:\n  {name}: {{choice: [1, 2]}}\n"
    with pytest.raises(ConfigError) as caught:
        load_sweep(write(text=text))
    (issue,) = caught.value.issues
    assert message in issue.message
    assert issue.hint.startswith(hint)
