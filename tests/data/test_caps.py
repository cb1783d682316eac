"""Caps on sources: the named largest weight works and a bit more does not, whatever the stages."""

import re
from pathlib import Path
from typing import Any

import pytest

from posttrain.config import SweepConfig, TrialConfig
from posttrain.data import Sample, caps_in_reach, checked_mixture
from posttrain.errors import DataError

TRAIN = {
    "real": [Sample(f"real/{k}", "real", Path("r.mp4"), 0.0, "c", {"quality": k / 20}, f"r{k}") for k in range(20)],
    "made": [Sample(f"made/{k}", "made", Path("m.mp4"), 0.0, "c", {"quality": k / 10}, f"m{k}") for k in range(10)],
}


def config(stages: list[dict[str, Any]] | None, kind: type[TrialConfig] = TrialConfig, **more: Any) -> Any:
    made = {"path": "made", **more.pop("made", {})}
    return kind.model_validate(
        {
            "name": "caps",
            "model": {"checkpoint": "tiny:predict2.5"},
            "strategy": {"type": "lora"},
            "data": {"sources": {"real": {"path": "real", **more.pop("real", {})}, "made": made}, "stages": stages},
            "training": {"steps": 40, "batch_size": 10, "learning_rate": 1e-3, **more.pop("training", {})},
            **more,
        }
    )


def two_stages(first: float, second: float, **more: Any) -> Any:
    stages = [
        {"name": "broad", "fraction": 0.5, "weights": {"real": 1 - first, "made": first}},
        {"name": "late", "fraction": 0.5, "weights": {"real": 1 - second, "made": second}},
    ]
    return config(stages, **more)


def error_of(trial: TrialConfig) -> str:
    with pytest.raises(DataError) as caught:
        checked_mixture(trial, TRAIN)
    return str(caught.value)


def test_epochs_beyond_the_cap_are_refused_with_the_largest_weight() -> None:
    told = error_of(
        config([{"name": "all", "fraction": 1.0, "weights": {"real": 0.5, "made": 0.5}}], made={"max_epochs": 5})
    )
    assert told.startswith("data.stages.all.weights: the data of made cannot carry its weight (0.5 for made in all)")
    assert "200 of all 400 draws, 20 epochs over 10 samples, and data.sources.made.max_epochs is 5" in told
    assert "the largest weights that work are 0.125 for made in all" in told
    assert "train for about 10 steps" in told


@pytest.mark.parametrize("cap", [{"max_epochs": 5}, {"max_epochs": 7.3}, {"max_share": 0.2}, {"max_share": 0.037}])
@pytest.mark.parametrize(("first", "second"), [(0.5, 0.5), (0.9, 0.3), (0.45, 0.0), (0.61, 0.77)])
def test_the_named_weights_work_and_a_bit_more_does_not(cap: dict[str, float], first: float, second: float) -> None:
    told = error_of(two_stages(first, second, made=cap))
    named = {stage: float(w) for w, stage in re.findall(r"([\d.e-]+) for made in (\w+)", told.split("largest")[1])}
    assert named.keys() == {name for name, weight in (("broad", first), ("late", second)) if weight}
    checked_mixture(two_stages(named["broad"], named.get("late", 0.0), made=cap), TRAIN)
    more = [weight * 1.002 for weight in (named["broad"], named.get("late", 0.0))]
    error_of(two_stages(more[0], more[1], made=cap))


def test_the_steps_that_are_named_work() -> None:
    stages = [{"name": "all", "fraction": 1.0, "weights": {"real": 0.5, "made": 0.5}}]
    told = error_of(config(stages, made={"max_epochs": 5}))
    steps = int(re.search(r"about (\d+) steps", told)[1])  # type: ignore[index]
    checked_mixture(config(stages, made={"max_epochs": 5}, training={"steps": steps}), TRAIN)
    error_of(config(stages, made={"max_epochs": 5}, training={"steps": steps + 1}))


def test_a_cap_of_what_is_asked_holds() -> None:
    checked_mixture(two_stages(0.25, 0.25, made={"max_epochs": 10, "max_share": 0.25}), TRAIN)
    checked_mixture(config(None, made={"max_epochs": 20}), TRAIN)


def test_equal_weights_name_the_cap() -> None:
    told = error_of(config(None, made={"max_share": 0.3}))
    assert told.startswith(
        "data.sources.made.max_share: the data of made cannot carry its weight (0.5 for made in all)"
    )
    assert "200 of all 400 draws, a share of 0.5" in told
    assert told.endswith(
        "the largest weights that work are 0.3 for made in all (of weights that sum to 1), or raise max_share"
    )


def test_epochs_are_those_of_the_sample_that_is_drawn_most() -> None:
    """Two samples of ten are drawn by the second stage: they are seen far more often than the mean of the source."""
    stages = [
        {"name": "broad", "fraction": 0.5, "weights": {"real": 0.9, "made": 0.1}},
        {"name": "late", "fraction": 0.5, "weights": {"real": 0.5, "made": 0.5}, "where": "quality >= 0.8"},
    ]
    told = error_of(config(stages, made={"max_epochs": 20}))
    assert "52 epochs over 10 samples" in told  # 20 / 10 + 100 / 2
    assert told.startswith("data.stages.late.weights")


def test_a_source_that_is_drawn_alone_has_no_weight_that_helps() -> None:
    stages = [
        {"name": "broad", "fraction": 0.5, "weights": {"real": 1}},
        {"name": "late", "fraction": 0.5, "weights": {"made": 1}},
    ]
    told = error_of(config(stages, made={"max_epochs": 10}))
    assert "largest weights" not in told
    assert told.endswith("train for about 20 steps, or add samples, or raise max_epochs")


def test_groups_of_a_column_count_for_the_sources_in_them() -> None:
    by_quality = {"name": "all", "fraction": 1.0, "by": "quality", "weights": {0.5: 0.6, 0: 0.4}}
    told = error_of(config([by_quality], made={"max_epochs": 100}))
    # each of the groups holds one sample of either source: 240 draws of two samples, 160 of two
    assert "120 epochs over 2 samples" in told
    assert "0.5 for 0.5 in all" in told
    checked_mixture(config([by_quality | {"weights": {0.5: 0.5, 0: 0.5}}], made={"max_epochs": 100}), TRAIN)


def test_all_that_is_wrong_is_told_at_once() -> None:
    told = error_of(config(None, made={"max_share": 0.1, "max_epochs": 1}, real={"max_epochs": 2}))
    assert [told.count(cap) for cap in ("made.max_share is", "made.max_epochs is", "real.max_epochs is")] == [1, 1, 1]


def sweep(space: dict[str, Any], **more: Any) -> SweepConfig:
    stages = [
        {"name": "broad", "fraction": 0.5, "weights": {"real": 0.9, "made": 0.1}},
        {"name": "late", "fraction": 0.5, "weights": {"real": 0.9, "made": 0.1}},
    ]
    found: SweepConfig = config(stages, SweepConfig, search_space=space, **more)
    checked_mixture(found, TRAIN)
    return found


def test_weights_that_a_search_can_draw_beyond_a_cap_are_told_with_the_bound() -> None:
    simplex = {"simplex": ["real", "made"]}
    (told,) = caps_in_reach(sweep({"data.stages.broad.weights": simplex}, made={"max_epochs": 8}), TRAIN)
    # 200 draws a stage over 10 samples: 20 epochs at weight 1, and 2 from the other stage
    assert told.startswith("search_space.data.stages.broad.weights: it can draw 1 for made")
    assert told.endswith("write `max: {made: 0.3}`")
    bounded = {"data.stages.broad.weights": simplex | {"max": {"made": 0.3}}}
    assert caps_in_reach(sweep(bounded, made={"max_epochs": 8}), TRAIN) == []
    assert caps_in_reach(sweep(bounded), TRAIN) == []


def test_bounds_hold_for_the_largest_batch_and_for_both_stages_together() -> None:
    space = {f"data.stages.{stage}.weights": {"simplex": ["real", "made"]} for stage in ("broad", "late")}
    both = caps_in_reach(
        sweep({**space, "training.batch_size": {"choice": [5, 10, 20]}}, made={"max_epochs": 16}), TRAIN
    )
    # 400 draws a stage, 40 epochs at weight 1, in two stages
    assert [told.split("write ")[1] for told in both] == ["`max: {made: 0.2}`"] * 2


def test_a_bound_that_no_weight_keeps_is_told_as_such() -> None:
    space = {"data.stages.broad.weights": {"simplex": ["real", "made"], "min": {"made": 0.2}}}
    (told,) = caps_in_reach(sweep(space, made={"max_epochs": 5}), TRAIN)
    assert told.endswith("no weight that it can draw works")
