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


def test_everything_about_a_stage_can_be_drawn(sweep: LoadedSweep) -> None:
    drawn = {
        "data.stages.broad.min_quality": 0.4,
        "data.stages.broad.where": "quality > 0.2",
        "data.stages.focused.learning_rate_factor": 0.1,
        "data.stages.focused.fraction": 0.5,
    }
    broad, focused = merge(sweep.config, drawn).data.stages or ()
    assert (broad.min_quality, broad.where, broad.fraction) == (0.4, "quality > 0.2", 0.5)
    assert (focused.learning_rate_factor, focused.fraction) == (0.1, 0.5)
    with pytest.raises(ConfigError, match=r"data\.stages\.broad\.where: .*write =="):
        merge(sweep.config, {"data.stages.broad.where": "quality = 0.2"})


def test_stages_without_a_name_in_the_file_can_be_drawn_too(write: Write) -> None:
    stages = SWEEP[SWEEP.index("  stages:") : SWEEP.index("  augmentations:")]
    space = "search_space:\n  data.stages.all.min_quality: {uniform: [0, 0.5]}\n"
    config = load_sweep(write((stages, ""), ("stages.broad", "stages.all"), ("search_space:\n", space))).config
    (stage,) = merge(config, {"data.stages.all.min_quality": 0.25}).data.stages or ()
    assert stage.min_quality == 0.25
    assert value_at(config, "data.stages.all.min_quality") is None


SPACE = """search_space:
  data.stages.broad.min_quality: {uniform: [0, 0.8]}
  data.stages.broad.fraction: {uniform: [0.5, 0.9]}
  data.stages.broad.where: {choice: [null, "camera == 'ego'"]}
  data.stages.focused.learning_rate_factor: {loguniform: [0.1, 1]}
"""


def test_stages_are_searched_by_where_quality_switch_and_rate(write: Write) -> None:
    config = load_sweep(write(("search_space:\n", SPACE))).config
    assert len(config.search_space) == 7


def test_a_stage_by_a_column_is_searched_over_its_values(write: Write) -> None:
    broad = "{name: broad, fraction: 0.7}"
    by_camera = "{name: broad, fraction: 0.7, by: synthetic, weights: {true: 0.2, false: 0.8}}"
    simplex = ("{simplex: [high, low], min: 0.1}", "{simplex: [true, false], max: {true: 0.3}}")
    config = load_sweep(write((broad, by_camera), simplex)).config
    dimension = config.search_space["data.stages.broad.weights"]
    assert isinstance(dimension, Simplex)
    assert dimension.names == ("true", "false")
    assert dimension.weights([1.0, 1.0]) == pytest.approx({"true": 0.3, "false": 0.7})
    assert (config.data.stages or ())[0].weights == {"true": 0.2, "false": 0.8}


BOUNDS = [
    ({"max": {"c": 0.1}}, {"a": (0.0, 1.0), "b": (0.0, 1.0), "c": (0.0, 0.1)}),
    ({"min": {"a": 0.5}}, {"a": (0.5, 1.0), "b": (0.0, 0.5), "c": (0.0, 0.5)}),
    ({"min": 0.1, "max": {"a": 0.3}}, {"a": (0.1, 0.3), "b": (0.1, 0.8), "c": (0.1, 0.8)}),
    ({"max": {"a": 0.2, "b": 0.3}}, {"a": (0.0, 0.2), "b": (0.0, 0.3), "c": (0.5, 1.0)}),
    ({"min": {"a": 0.25}, "max": {"a": 0.25}}, {"a": (0.25, 0.25), "b": (0.0, 0.75), "c": (0.0, 0.75)}),
]


@pytest.mark.parametrize(("bounds", "reach"), BOUNDS)
def test_bounds_by_name_hold_for_every_draw(bounds: dict[str, object], reach: dict[str, tuple[float, float]]) -> None:
    dimension = Simplex.model_validate({"simplex": ["a", "b", "c"], **bounds})
    assert {name: dimension.reach(name) for name in "abc"} == {n: pytest.approx(ends) for n, ends in reach.items()}
    generator = random.Random(1)
    seen: dict[str, list[float]] = {name: [] for name in "abc"}
    for _ in range(500):
        weights = dimension.weights([10 ** generator.uniform(-2, 0) for _ in range(3)])
        assert math.fsum(weights.values()) == pytest.approx(1, abs=1e-12)
        for name, weight in weights.items():
            low, high = reach[name]
            assert low - 1e-9 <= weight <= high + 1e-9
            seen[name].append(weight)
    assert all(max(seen[n]) - min(seen[n]) >= 0.5 * (high - low) for n, (low, high) in reach.items())


@pytest.mark.parametrize(
    ("bounds", "where", "message"),
    [
        ("max: {hihg: 0.5}", "search_space.data.stages.broad.weights.max.hihg", "is no name of this simplex"),
        (
            "max: {high: 0.4, low: 0.5}",
            "search_space.data.stages.broad.weights.max",
            "sum to 0.9, expected more than 1",
        ),
        ("min: {high: 0.4, low: 0.6}", "search_space.data.stages.broad.weights.min", "sum to 1, expected less than 1"),
        (
            "min: {high: 0.4}, max: {high: 0.3}",
            "search_space.data.stages.broad.weights.max",
            "the weight of 'high' would be at least 0.4 and at most 0.3",
        ),
        ("max: {high: 2}", "search_space.data.stages.broad.weights.max", "found 2"),
    ],
)
def test_bounds_by_name_that_leave_nothing_are_refused(write: Write, bounds: str, where: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_sweep(write(("min: 0.1", bounds)))
    assert any(issue.where.startswith(where) and message in issue.message for issue in caught.value.issues), (
        caught.value.issues
    )


@pytest.mark.parametrize(
    ("old", "new", "where", "message"),
    [
        (
            "fraction: 0.3\n",
            "fraction: 0.3\n      where: quality >\n",
            "data.stages.focused.where",
            "the end at character",
        ),
        ("fraction: 0.3\n", "fraction: 0.3\n      learning_rate_factor: 0\n", "learning_rate_factor", "above 0"),
        ("quality: 0.9", "max_share: 1.5", "data.sources.high.max_share", "found 1.5"),
        ("quality: 0.9", "max_epochs: 0", "data.sources.high.max_epochs", "found 0"),
        ("quality: 0.9", "licens: MIT", "data.sources.high.licens", "unknown key"),
        ("  strategy.rank: {", "  data.stages.broad.by: {choice: [a, b]}\n  strategy.rank: {", "stages.broad.by", ""),
        (
            "  strategy.rank: {",
            "  data.stages.focused.where: {choice: ['quality > 0', 'quality >']}\n  strategy.rank: {",
            "search_space.data.stages.focused.where",
            "the end at character",
        ),
        (
            "  strategy.rank: {",
            "  data.stages.focused.min_quality: {uniform: [0.5, 1.5]}\n  strategy.rank: {",
            "search_space.data.stages.focused.min_quality",
            "found 1.5",
        ),
    ],
)
def test_mistakes_in_sources_and_stages_are_told_at_their_place(
    write: Write, old: str, new: str, where: str, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_sweep(write((old, new)))
    (issue,) = caught.value.issues
    assert where in issue.where
    assert message in issue.message
    assert issue.line
