"""The search space as an object: drawn values merged in, conditions, weights on the simplex, advice."""

import math
import random

import pytest

from posttrain.config import LoadedSweep, Simplex, load_sweep, merge, refused, trial_config, value_at
from posttrain.config.space_check import in_order
from posttrain.errors import ConfigError

from .conftest import SWEEP, Write


def test_drawn_values_take_the_place_of_the_files_own(sweep: LoadedSweep) -> None:
    weights = {"high": 0.25, "low": 0.75}
    trial = merge(
        sweep.config, {"training.learning_rate": 3e-4, "strategy.rank": 4, "data.stages.broad.weights": weights}
    )
    assert trial.training.learning_rate == 3e-4
    assert trial.strategy.rank == 4
    assert trial.data.stages is not None
    assert trial.data.stages[0].weights == weights
    assert merge(sweep.config, {}) == trial_config(sweep.config)
    assert sweep.config.training.learning_rate == 1e-4


def test_a_drawn_fraction_leaves_the_rest_to_the_other_stages(sweep: LoadedSweep) -> None:
    stages = merge(sweep.config, {"data.stages.broad.fraction": 0.6}).data.stages
    assert stages is not None
    assert [stage.fraction for stage in stages] == pytest.approx([0.6, 0.4])


def test_without_stages_the_one_stage_is_called_all(write: Write) -> None:
    stages = SWEEP[SWEEP.index("  stages:") : SWEEP.index("  augmentations:")]
    loaded = load_sweep(write((stages, ""), ("stages.broad", "stages.all")))
    assert value_at(loaded.config, "data.stages.all.weights") == {"high": 0.5, "low": 0.5}
    merged = merge(loaded.config, {"data.stages.all.weights": {"high": 0.1, "low": 0.9}}).data.stages
    assert merged is not None
    assert (merged[0].name, merged[0].fraction, merged[0].weights) == ("all", 1.0, {"high": 0.1, "low": 0.9})


def test_a_drawn_value_is_validated_like_one_in_the_file(sweep: LoadedSweep) -> None:
    with pytest.raises(ConfigError, match=r"strategy\.rank: found 0, expected a whole number of at least 1"):
        merge(sweep.config, {"strategy.rank": 0})
    with pytest.raises(ConfigError, match=r"training\.rank: is no path"):
        merge(sweep.config, {"training.rank": 0})


def test_values_are_found_by_their_path(sweep: LoadedSweep) -> None:
    assert value_at(sweep.config, "strategy.type") == "lora"
    assert value_at(sweep.config, "data.stages.focused.fraction") == 0.3
    assert value_at(sweep.config, "data.augmentations.caption_dropout.probability") == 0.1
    with pytest.raises(KeyError):
        value_at(sweep.config, "training.nothing")


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.1, 1.0), (0.2, 0.5), (0.0, 0.4), (0.32, 0.35)])
def test_weights_sum_to_one_within_their_limits_and_keep_the_order_of_the_draws(low: float, high: float) -> None:
    dimension = Simplex(simplex=("a", "b", "c"), min=low, max=high)
    generator = random.Random(0)
    for _ in range(200):
        drawn = [10 ** generator.uniform(-2, 0) for _ in range(3)]
        weights = list(dimension.weights(drawn).values())
        assert math.fsum(weights) == pytest.approx(1, abs=1e-12)
        assert all(low <= weight <= high for weight in weights)
        ranked = [weight for _, weight in sorted(zip(drawn, weights, strict=True))]
        assert ranked == sorted(ranked)
        if (low, high) == (0.0, 1.0):
            assert weights == pytest.approx([value / sum(drawn) for value in drawn])


def test_a_dimension_is_active_where_its_condition_holds(write: Write) -> None:
    space = "search_space:\n  training.shift: {uniform: [1, 2], when: {training.schedule: [cosine, linear]}}\n"
    dimension = load_sweep(write(("search_space:\n", space))).config.search_space["training.shift"]
    assert dimension.active({"training.schedule": "linear"})
    assert not dimension.active({"training.schedule": "constant"})


def test_dimensions_come_after_those_they_depend_on(write: Write) -> None:
    space = (
        "search_space:\n  training.shift: {uniform: [1, 2], when: {training.schedule: linear}}\n"
        "  training.schedule: {choice: [cosine, linear]}\n"
    )
    names = in_order(load_sweep(write(("search_space:\n", space))).config.search_space)
    assert names.index("training.schedule") < names.index("training.shift")


@pytest.mark.parametrize(
    ("old", "new", "where", "message"),
    [
        ("[1e-5, 1e-3]", "[1e-5, 1e-1]", "search_space.training.learning_rate", "0.1 lies outside"),
        ("rank: 8}", "rank: 8, alpha: 8}", "strategy.alpha", "stays 8"),
        ("search_space:", "evaluation: {every: 30}\nsearch_space:", "evaluation.every", "asha can stop nothing"),
        (
            "search_space:",
            "search_space:\n  training.steps: {randint: [20, 40]}",
            "search_space.training.steps",
            "length",
        ),
        ("when: {strategy.type: lora}", "when: {training.schedule: linear}", "search_space.strategy.rank", "never"),
        ("    low:", "    more: {path: x}\n    low:", "data.sources.more", "weight 0"),
    ],
)
def test_doubtful_settings_are_warned_of(write: Write, old: str, new: str, where: str, message: str) -> None:
    stages = ("{name: broad, fraction: 0.7}", "{name: broad, fraction: 0.7, weights: {high: 0.5, low: 0.5}}")
    (warning,) = load_sweep(write(("tiny:predict2.5", "owner/model"), stages, (old, new))).warnings
    assert warning.where == where
    assert message in warning.message


def test_the_support_table_gives_the_rule() -> None:
    assert refused("cosmos-predict", "lora") is None
    assert refused(None, "lora") is None
    assert refused("vlm", "full") is None
    assert "no 'lorra'" in (refused(None, "lorra") or "")
    assert "vision-language" in (refused("cosmos-predict", "rl") or "")
    assert "diffusion" in (refused("vlm", "lora") or "")
