"""The arithmetic of `plan`."""

from pathlib import Path
from typing import Any

import pytest

from posttrain.config import SweepConfig
from posttrain.data import Dataset, Sample, SourceScan
from posttrain.models.sizes import Sizes
from posttrain.sweep.forecast import Measured, Source, forecast, mean_batch_size, measured_by
from posttrain.sweep.history import PastTrial


def sweep(strategy: dict[str, object], **more: object) -> SweepConfig:
    return SweepConfig.model_validate(
        {
            "name": "s",
            "model": {"checkpoint": "some/model", "family": "cosmos-predict"},
            "strategy": strategy,
            "data": {
                "sources": {"a": {"path": "a"}, "b": {"path": "b"}},
                "stages": [
                    {"name": "one", "fraction": 0.5, "weights": {"a": 0.75, "b": 0.25}},
                    {"name": "two", "fraction": 0.5, "weights": {"b": 1.0}},
                ],
            },
            "training": {"steps": 10, "batch_size": 4, "learning_rate": 1e-4},
            "search_space": {"training.learning_rate": {"loguniform": [1e-5, 1e-3]}},
            "search": {"trials": 6},
            **more,
        }
    )


@pytest.fixture
def dataset() -> Dataset[Sample]:
    clips = [
        Sample(f"a/{i}", "a", Path("x.mp4"), 0.0, "text", {"quality": q}, str(i)) for i, q in enumerate((0.4, 0.8))
    ]
    other = [Sample("b/0", "b", Path("y.mp4"), 0.0, "text", {"camera": "ego"}, "2")]
    scans = {"a": SourceScan("a", Path("a"), clips, [], {}, {}), "b": SourceScan("b", Path("b"), other, [], {}, {})}
    return Dataset({"a": clips, "b": other}, {"a": [], "b": []}, {}, scans, [])


def test_stages_and_samples_are_the_files(dataset: Dataset[Sample]) -> None:
    document = forecast(sweep({"type": "lora"}), dataset, None, 2, None)
    assert document["trials"] == 6
    assert document["slots"] == 2
    assert document["samples"]["a"] == {"found": 2, "kept": 2, "dropped": {}}
    assert [{key: stage[key] for key in ("name", "steps", "counts")} for stage in document["stages"]] == [
        {"name": "one", "steps": 5, "counts": {"a": 15, "b": 5}},
        {"name": "two", "steps": 5, "counts": {"a": 0, "b": 20}},
    ]
    assert [stage["epochs"] for stage in document["stages"]] == [{"a": 7.5, "b": 5.0}, {"b": 20.0}]
    assert [stage["eligible"] for stage in document["stages"]] == [{"a": 2, "b": 1}, {"b": 1}]
    assert set(document["estimate"].values()) == {None}
    assert "3 clips are limited data" in document["advice"][0]


def test_stages_by_a_column_show_groups_and_sources(dataset: Dataset[Sample]) -> None:
    stages = [
        {"name": "one", "fraction": 0.5, "by": "camera", "weights": {"ego": 0.25, "missing": 0.75}},
        {"name": "two", "fraction": 0.5, "where": "quality > 0.5", "min_quality": 0.1, "learning_rate_factor": 0.5},
    ]
    config = sweep({"type": "lora"}, data={"sources": {"a": {"path": "a"}, "b": {"path": "b"}}, "stages": stages})
    first, second = forecast(config, dataset, None, 2, None)["stages"]
    assert first["groups"] == {"ego": 5, "missing": 15}
    assert first["counts"] == {"a": 15, "b": 5}
    assert first["by"] == "camera"
    assert second["counts"] == {"a": 20, "b": 0}
    assert (second["eligible"], second["epochs"]) == ({"a": 1}, {"a": 20.0})
    assert (second["where"], second["min_quality"], second["learning_rate_factor"]) == ("quality > 0.5", 0.1, 0.5)


def test_metadata_columns_are_shown_with_their_values(dataset: Dataset[Sample]) -> None:
    columns = forecast(sweep({"type": "lora"}), dataset, None, 2, None)["metadata"]
    assert columns == {
        "camera": {"share": pytest.approx(1 / 3), "values": {"ego": 1}, "distinct": 1},
        "quality": {"share": pytest.approx(2 / 3), "range": [0.4, 0.8]},
    }


def test_sizes_follow_strategy_sharding_and_average(dataset: Dataset[Sample]) -> None:
    sizes = Sizes(base=1000, trained=1000, adapters=10)
    lora = forecast(sweep({"type": "lora"}), dataset, sizes, 2, None)["estimate"]
    assert lora["peak_memory_bytes"] == 2 * 1000 + 16 * 10
    assert lora["disk_bytes"] == 6 * 3 * 12 * 10  # trials, last and best of loss and PSNR, bytes of a parameter
    full = forecast(sweep({"type": "full", "ema": 0.99}), dataset, sizes, 2, None)["estimate"]
    assert full["peak_memory_bytes"] == 2 * 1000 + 20 * 1000
    sharded = sweep({"type": "full"}, resources={"workers": 4, "parallel": "fsdp"})
    assert forecast(sharded, dataset, sizes, 2, None)["estimate"]["peak_memory_bytes"] == 2 * 1000 + 4 * 1000


def past(training_s: float, batch: int = 4, memory: int | None = None, **more: Any) -> PastTrial:
    return PastTrial("runs/old", 10, batch, batch, training_s, 6.0, 3, more.pop("gate_s", None), 960, memory, **more)


def test_measured_are_medians_of_what_a_sample_costs() -> None:
    config = sweep({"type": "lora"})
    assert measured_by([], config) is None
    measured = measured_by([past(20.0, gate_s=9.6), past(60.0, batch=8), past(4000.0)], config)
    assert measured is not None
    assert (measured.per_sample, measured.per_evaluation, measured.per_gate_sample) == (0.75, 2.0, 0.01)
    assert measured.source == Source(3, ("runs/old",))
    larger = measured_by([past(20.0, scale=4.0)], config)
    assert larger is not None
    assert (larger.per_sample, larger.per_evaluation, larger.per_gate_sample) == (2.0, 8.0, 0.0)


def test_memory_is_that_of_trials_with_batches_as_large() -> None:
    trials = [past(1.0, 2, 100), past(1.0, 4, 300), past(1.0, 4, 310), past(1.0, 16, 900), past(1.0, 4, 1, scale=2.0)]

    def peak(**more: Any) -> tuple[int | None, int]:
        measured = measured_by(trials, sweep({"type": "lora"}, **more))
        assert measured is not None
        return measured.peak_memory_bytes, measured.memory_source.trials if measured.memory_source else 0

    assert peak() == (310, 2)
    assert peak(search_space={"training.batch_size": {"choice": [2, 8]}}) == (900, 1)
    assert peak(search_space={"training.batch_size": {"choice": [2, 32]}}) == (None, 0)
    micro = {"steps": 10, "batch_size": 32, "micro_batch_size": 2, "learning_rate": 1e-4}
    assert peak(training=micro) == (100, 1)


def test_time_and_memory_are_told_where_trials_were_measured(dataset: Dataset[Sample]) -> None:
    config = sweep({"type": "lora"}, resources={"gpus_per_worker": 1.0}, evaluation={"every": 4})
    memory = Source(1, ("runs/b",))
    measured = Measured(0.5, 2.0, 0.01, Source(3, ("runs/a", "runs/b")), 310, memory)
    estimate = forecast(config, dataset, Sizes(1000, 1000, 10), 2, measured)["estimate"]
    a_trial = 10 * 4 * 0.5 + 3 * 2.0 + 60 * 16 * 0.01
    assert estimate["seconds"] == pytest.approx(6 * a_trial / 2)
    assert estimate["gpu_hours"] == pytest.approx(6 * a_trial / 3600)
    assert estimate["peak_memory_bytes"] == 310
    assert estimate["source"] == {
        "seconds": {"trials": 3, "runs": ("runs/a", "runs/b")},
        "peak_memory_bytes": {"trials": 1, "runs": ("runs/b",)},
    }
    ungated = sweep({"type": "lora"}, overfit=None, evaluation={"every": 4})
    assert forecast(ungated, dataset, None, 1, measured)["estimate"]["seconds"] == pytest.approx(6 * 26.0)


def test_a_searched_batch_counts_with_its_mean() -> None:
    assert mean_batch_size(sweep({"type": "lora"})) == 4
    assert (
        mean_batch_size(sweep({"type": "lora"}, search_space={"training.batch_size": {"choice": [4, 8, 16]}})) == 28 / 3
    )
    assert mean_batch_size(sweep({"type": "lora"}, search_space={"training.batch_size": {"randint": [2, 10]}})) == 6
