"""Stages over groups of samples: who may be drawn, what is left out, and what the data does not have."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from posttrain.config import DataConfig
from posttrain.data import Mixture, MixtureSchedule, Sample, plan_mixture
from posttrain.errors import DataError


def clips(source: str, metadata: list[dict[str, Any]]) -> list[Sample]:
    return [
        Sample(f"{source}/{k}", source, Path(f"{k}.mp4"), 0.0, "c", values, f"{source}{k}")
        for k, values in enumerate(metadata)
    ]


TRAIN = {
    "ego": clips("ego", [{"quality": k / 10, "camera": "ego"} for k in range(10)]),
    "cctv": clips("cctv", [{"quality": 0.5, "camera": "fixed" if k % 2 else "drone"} for k in range(6)]),
    "made": clips("made", [{"synthetic": True} for _ in range(4)]),
}


def data(*stages: dict[str, Any], **more: Any) -> DataConfig:
    sources = {name: {"path": name} for name in TRAIN}
    fractions = [{"fraction": 1 / len(stages), "name": f"s{k}"} | stage for k, stage in enumerate(stages)]
    return DataConfig.model_validate({"sources": sources, "stages": fractions or None, **more})


def plan(*stages: dict[str, Any], steps: int = 20, batch: int = 5) -> Mixture:
    return plan_mixture(data(*stages), TRAIN, steps, batch)


def draws(mixture: Mixture, seed: int = 0) -> list[Sample]:
    schedule = MixtureSchedule({key: len(pool) for key, pool in mixture.pools.items()}, mixture.stages, seed)
    places = [mixture.pools[key].place(index) for key, index in schedule]
    return [TRAIN[source][place] for source, place in places]


def test_without_conditions_each_source_is_its_own_pool() -> None:
    mixture = plan()
    assert {key: len(pool) for key, pool in mixture.pools.items()} == {"ego": 10, "cctv": 6, "made": 4}
    assert [(stage.name, stage.num_draws, dict(stage.weights)) for stage in mixture.stages] == [
        ("all", 100, {"ego": 1.0, "cctv": 1.0, "made": 1.0})
    ]
    assert mixture.warnings == []


def test_a_stage_draws_what_its_conditions_let_through_and_nothing_else() -> None:
    mixture = plan({"weights": {"ego": 0.5, "cctv": 0.5}, "where": "quality >= 0.3", "min_quality": 0.5})
    drawn = draws(mixture)
    assert {sample.id for sample in drawn} == {*(f"ego/{k}" for k in range(5, 10)), *(f"cctv/{k}" for k in range(6))}
    assert Counter(sample.source for sample in drawn) == {"ego": 50, "cctv": 50}
    assert set(Counter(sample.id for sample in drawn if sample.source == "ego").values()) == {10}
    assert mixture.eligible(mixture.stages[0]) == {"cctv": 6, "ego": 5}
    assert mixture.expected(mixture.stages[0]) == {"cctv": 50.0, "ego": 50.0}


def test_equal_weights_are_over_the_sources_that_a_condition_leaves_and_the_others_are_told() -> None:
    mixture = plan({"where": "quality >= 0.8"})
    assert Counter(sample.source for sample in draws(mixture)) == {"ego": 100}
    assert mixture.warnings == [
        "data.stages.s0: sources of which no training sample is left by 'quality >= 0.8', and that are not drawn: "
        "cctv (6), made (4)"
    ]


def test_weights_go_by_the_values_of_a_column_over_all_sources() -> None:
    mixture = plan({"by": "camera", "weights": {"ego": 0.2, "fixed": 0.3, "missing": 0.5}})
    drawn = draws(mixture)
    found = Counter(sample.metadata.get("camera", "missing") for sample in drawn)
    assert found == {"ego": 20, "fixed": 30, "missing": 50}
    assert mixture.warnings == [
        "data.stages.s0.weights: values of camera that have samples and no weight, and are not drawn: drone (3)"
    ]
    assert mixture.expected(mixture.stages[0]) == {"ego": 20.0, "cctv": 30.0, "made": 50.0}


def test_equal_weights_by_a_column_name_the_samples_without_it() -> None:
    mixture = plan({"by": "camera"})
    assert sorted(mixture.stages[0].groups.values()) == ["drone", "ego", "fixed", "missing"]
    assert mixture.warnings == ["data.stages.s0.by: 4 training samples have no 'camera'; they are the group `missing`"]


def test_numbers_and_truth_values_are_groups_by_the_texts_that_stand_for_them() -> None:
    by_truth = plan({"by": "synthetic", "weights": {True: 0.25, "missing": 0.75}})
    assert Counter(bool(sample.metadata.get("synthetic")) for sample in draws(by_truth)) == {True: 25, False: 75}
    by_number = plan({"by": "quality", "weights": {0.5: 1, 0: 1}})
    assert Counter(sample.metadata["quality"] for sample in draws(by_number)) == {0.5: 50, 0.0: 50}


def test_stages_that_draw_from_the_same_samples_go_on_with_their_passes() -> None:
    same = plan(
        {"weights": {"ego": 1}, "where": "quality >= 0.5"},
        {"weights": {"ego": 1}, "min_quality": 0.5},
        {"by": "camera", "weights": {"ego": 1}, "where": "quality > 0.45"},
        steps=9,
        batch=1,
    )
    assert len(same.pools) == 1
    drawn = [sample.id for sample in draws(same)]
    assert sorted(drawn[:5]) == [f"ego/{k}" for k in range(5, 10)]
    assert len(set(drawn[5:])) == 4, "the second pass runs over two stages"
    whole = plan({"weights": {"ego": 1}}, {"by": "camera", "weights": {"ego": 1}, "where": "quality >= 0"})
    assert set(whole.pools) == {"ego"}, "all of a source is the source"


STAGES: tuple[dict[str, Any], ...] = (
    {"where": "quality >= 0.3"},
    {"by": "camera", "weights": {"ego": 0.37, "fixed": 0.41, "drone": 0.11, "missing": 0.11}},
    {"min_quality": 0.5, "weights": {"ego": 0.9, "cctv": 0.1}},
)


@pytest.mark.parametrize("seed", range(4))
def test_the_bound_is_kept_in_each_stage_and_resumed_is_straight_at_every_point(seed: int) -> None:
    mixture = plan(*STAGES, steps=60, batch=1)
    sizes = {key: len(pool) for key, pool in mixture.pools.items()}
    straight = list(MixtureSchedule(sizes, mixture.stages, seed))
    schedule = MixtureSchedule(sizes, mixture.stages, seed)
    for position in range(len(straight)):
        stage = mixture.stages[position // 20]
        counts = schedule.counts()[stage.name]
        for key, weight in stage.normalised.items():
            assert abs(counts[key] - weight * (position % 20)) < 1
        resumed = MixtureSchedule(sizes, mixture.stages, seed)
        resumed.load_state_dict(schedule.state_dict())
        assert list(resumed) == straight[position:]
        assert schedule.draw() == straight[position]


def test_the_order_does_not_depend_on_the_order_of_sources_or_of_stages_keys() -> None:
    mixture = plan(*STAGES, steps=60, batch=1)
    turned = dict(reversed(TRAIN.items()))
    sources = {name: {"path": name} for name in turned}
    stages = [{"fraction": 1 / 3, "name": f"s{k}"} | stage for k, stage in enumerate(STAGES)]
    other = plan_mixture(DataConfig.model_validate({"sources": sources, "stages": stages}), turned, 60, 1)
    assert [sample.id for sample in draws(mixture)] == [sample.id for sample in draws(other)]


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (
            {"by": "camera", "weights": {"eggo": 1}},
            r"data\.stages\.s0\.weights: no training sample has camera 'eggo'; did you mean 'ego'\? camera has "
            r"ego \(10\), missing \(4\), drone \(3\), fixed \(3\)",
        ),
        ({"by": "camera", "weights": {"ego": 1, "boat": 0}}, r"no training sample has camera 'boat'"),
        ({"by": "camra"}, r"data\.stages\.s0\.by: no training sample has the column 'camra'; did you mean 'camera'\?"),
        (
            {"where": "qualty > 0"},
            r"data\.stages\.s0\.where: no sample has the column 'qualty'.*did you mean 'quality'",
        ),
        (
            {"where": "quality > 2"},
            r"data\.stages\.s0\.where: none of the 20 training samples is left by 'quality > 2'",
        ),
        (
            {"where": "quality >= 0.8", "weights": {"ego": 0.5, "cctv": 0.5}},
            r"data\.stages\.s0\.weights: cctv has weight 0\.5 and no sample to draw: none of its 6 training samples is "
            r"left by 'quality >= 0\.8'",
        ),
        (
            {"where": "quality < 0.5", "by": "camera", "weights": {"ego": 0.5, "drone": 0.5}},
            r"drone has weight 0\.5 and no sample to draw: none of its 3 training samples",
        ),
        ({"where": "camera > 3"}, r"data\.stages\.s0\.where: .*column 'camera' \(sample ego/0\)"),
        ({"fraction": 1.0, "by": "synthetic", "weights": {"false": 1}}, r"synthetic has missing \(16\), true \(4\)"),
    ],
)
def test_what_the_data_does_not_have_is_told(stage: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        plan(stage)


def test_a_column_of_lists_makes_no_groups() -> None:
    train = {"ego": clips("ego", [{"tags": ["a"]}])}
    config = DataConfig.model_validate(
        {"sources": {"ego": {"path": "ego"}}, "stages": [{"name": "s", "fraction": 1.0, "by": "tags"}]}
    )
    with pytest.raises(DataError, match=r"'tags' of ego/0 is a list, and groups go by single values"):
        plan_mixture(config, train, 4, 1)


def test_no_number_is_as_good_as_none() -> None:
    train = {"ego": clips("ego", [{"quality": math.nan, "camera": None}, {"quality": 0.5, "camera": "a"}])}
    config = DataConfig.model_validate(
        {
            "sources": {"ego": {"path": "ego"}},
            "stages": [
                {"name": "s", "fraction": 0.5, "by": "quality"},
                {"name": "t", "fraction": 0.5, "by": "camera", "min_quality": 0.0},
            ],
        }
    )
    first, second = plan_mixture(config, train, 4, 1).stages
    assert sorted(first.groups.values()) == ["0.5", "missing"]
    assert list(second.groups.values()) == ["a"]


def test_sources_are_real_where_others_are_synthetic() -> None:
    sources = {"a": {"path": "a"}, "b": {"path": "b", "synthetic": True}}
    assert [source.synthetic for source in DataConfig.model_validate({"sources": sources}).sources.values()] == [
        False,
        True,
    ]
    assert data().sources["ego"].synthetic is None
