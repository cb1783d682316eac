"""The mixture: weights kept at every prefix, each pass complete, resumed equals straight."""

import json
import time
import tracemalloc
from itertools import islice

import numpy as np
import pytest

from posttrain.data import MixtureSchedule, Stage
from posttrain.errors import DataError

WEIGHTS = [
    {"a": 1.0},
    {"a": 0.5, "b": 0.5},
    {"a": 1 / 3, "b": 2 / 3},
    {"a": 0.3, "b": 0.5, "c": 0.2},
    {"a": 0.7, "b": 0.2, "c": 0.1},
    {"a": 0.001, "b": 0.999},
    {"a": 1.0, "b": 1.0, "c": 1.0, "d": 1.0, "e": 1.0, "f": 1.0, "g": 1.0},
    {"a": 0.0, "b": 0.6, "c": 0.4},
    {"a": np.pi, "b": np.e, "c": 1.0, "d": 0.01},
    # one heavy and many light sources: smooth weighted round-robin is off by more than one sample here
    {"heavy": 0.5, **{f"light{k}": 0.5 / 40 for k in range(40)}},
    *({f"s{k}": float(w) for k, w in enumerate(np.random.default_rng(n).dirichlet([0.4] * 12))} for n in range(8)),
]


@pytest.mark.parametrize("weights", WEIGHTS)
def test_counts_stay_within_one_sample_of_the_weights_at_every_prefix(weights: dict[str, float]) -> None:
    num_draws = 3000
    schedule = MixtureSchedule(dict.fromkeys(weights, 7), [Stage("all", num_draws, weights)], seed=0)
    names = list(weights)
    share = np.asarray(list(weights.values())) / sum(weights.values())
    drawn = np.asarray([[name == source for name in names] for source, _ in schedule])
    realised = np.cumsum(drawn, axis=0)
    expected = np.arange(1, num_draws + 1)[:, None] * share
    assert np.abs(realised - expected).max() < 1
    assert sum(schedule.counts()["all"].values()) == num_draws


def test_each_pass_holds_each_sample_once_and_runs_on_across_stages() -> None:
    sizes = {"a": 5, "b": 3}
    stages = [Stage("broad", 23, {"a": 0.5, "b": 0.5}), Stage("focused", 31, {"a": 0.8, "b": 0.2})]
    drawn = list(MixtureSchedule(sizes, stages, seed=3))
    assert len(drawn) == 54
    passes = {}
    for source, size in sizes.items():
        order = [index for name, index in drawn if name == source]
        passes[source] = [tuple(order[k : k + size]) for k in range(0, len(order) - size + 1, size)]
        assert all(sorted(one) == list(range(size)) for one in passes[source])
    assert len(set(passes["a"])) > 1, "passes are shuffled anew"


def test_stages_follow_each_other_with_their_own_weights() -> None:
    stages = [Stage("broad", 10, {"a": 0.5, "b": 0.5}), Stage("focused", 6, {"b": 1.0})]
    schedule = MixtureSchedule({"a": 4, "b": 4}, stages, seed=0)
    assert len(schedule) == 16
    assert schedule.stage == "broad"
    assert [source for source, _ in islice(schedule, 10)].count("a") == 5
    assert schedule.stage == "focused"
    assert {source for source, _ in schedule} == {"b"}
    assert schedule.stage is None
    assert schedule.draw() is None
    assert schedule.counts() == {"broad": {"a": 5, "b": 5}, "focused": {"b": 6}}


@pytest.mark.parametrize("stop", [0, 1, 17, 40, 41, 99, 100])
def test_resumed_equals_straight(stop: int) -> None:
    sizes = {"a": 7, "b": 11, "c": 2}
    stages = [Stage("broad", 40, {"a": 0.5, "b": 0.3, "c": 0.2}), Stage("focused", 60, {"a": 0.1, "b": 0.9})]
    straight = list(MixtureSchedule(sizes, stages, seed=5))
    first = MixtureSchedule(sizes, stages, seed=5)
    begin = list(islice(first, stop))
    assert first.position == stop
    state = json.loads(json.dumps(first.state_dict()))
    resumed = MixtureSchedule(sizes, stages, seed=5)
    resumed.load_state_dict(state)
    assert resumed.counts() == first.counts()
    assert begin + list(resumed) == straight
    # and a schedule that has run on can be taken back
    first.load_state_dict(state)
    assert begin + list(first) == straight


def test_a_saved_state_does_not_move_with_the_schedule() -> None:
    schedule = MixtureSchedule({"a": 3}, [Stage("all", 10, {"a": 1})], seed=0)
    state = schedule.state_dict()
    rest = list(schedule)
    schedule.load_state_dict(state)
    assert list(schedule) == rest
    schedule.load_state_dict(state)
    assert list(schedule) == rest


def test_order_depends_on_the_seed_and_not_on_the_order_of_names() -> None:
    def order(seed: int, names: str) -> list[tuple[str, int]]:
        sizes = dict.fromkeys(names, 20)
        return list(MixtureSchedule(sizes, [Stage("all", 60, dict.fromkeys(names, 1.0))], seed))

    assert order(0, "abc") == order(0, "cab")
    assert order(0, "abc") != order(1, "abc")


def test_a_state_of_another_mixture_is_refused() -> None:
    stages = [Stage("all", 10, {"a": 0.5, "b": 0.5})]
    state = MixtureSchedule({"a": 3, "b": 3}, stages, seed=0).state_dict()
    for sizes, seed in (({"a": 3, "b": 4}, 0), ({"a": 3, "b": 3}, 1)):
        with pytest.raises(DataError, match="another mixture"):
            MixtureSchedule(sizes, stages, seed).load_state_dict(state)


def test_a_source_without_clips_may_not_be_weighed() -> None:
    with pytest.raises(DataError, match=r"data\.stages\.broad\.weights: b has no clip"):
        MixtureSchedule({"a": 3, "b": 0}, [Stage("broad", 4, {"a": 0.5, "b": 0.5})], seed=0)
    assert len(list(MixtureSchedule({"a": 3, "b": 0}, [Stage("broad", 4, {"a": 1, "b": 0})], seed=0))) == 4
    with pytest.raises(DataError, match="every weight is 0"):
        MixtureSchedule({"a": 3}, [Stage("broad", 4, {"a": 0})], seed=0)


def test_a_draw_is_cheap() -> None:
    schedule = MixtureSchedule(dict.fromkeys("abcd", 1000), [Stage("all", 20_000, dict.fromkeys("abcd", 0.25))], 0)
    began = time.process_time()
    assert sum(1 for _ in schedule) == 20_000
    assert (time.process_time() - began) / 20_000 < 100e-6  # 5 microseconds on a quiet core


def test_a_draw_of_a_hundred_sources_is_cheap_and_holds_no_memory() -> None:
    weights = {f"s{k}": float(w) for k, w in enumerate(np.random.default_rng(0).dirichlet([1.0] * 100))}
    schedule = MixtureSchedule(dict.fromkeys(weights, 50), [Stage("all", 40_000, weights)], 0)
    began = time.process_time()
    assert sum(1 for _ in islice(schedule, 20_000)) == 20_000
    assert (time.process_time() - began) / 20_000 < 20e-6  # 3 microseconds on a busy core
    tracemalloc.start()
    try:
        assert sum(1 for _ in islice(schedule, 20_000)) == 20_000
        assert tracemalloc.get_traced_memory()[1] < 200_000  # one permutation of 50 for each source, and two heaps
    finally:
        tracemalloc.stop()
