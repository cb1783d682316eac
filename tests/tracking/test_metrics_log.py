"""The metric log: what is read is what was written, and a resumed log equals a straight one."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from posttrain.errors import PosttrainError
from posttrain.tracking.metrics import Measured, MetricsLog, best, read, series


def _write(log: MetricsLog, steps: range) -> None:
    for step in steps:
        log.append(step, "train", {"train/loss": 1.0 / step, "train/learning_rate": 1e-4})
        if step % 10 == 0:
            log.append(step, "eval", {"held_out/loss": 2.0 / step})


def test_reads_back_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "t0001" / "metrics.jsonl"
    with MetricsLog(path) as log:
        log.append(3, "train", {"train/loss": np.float32(0.5), "tokens": np.int64(7), "note": "warm-up"})
    assert read(path) == [{"step": 3, "kind": "train", "train/loss": 0.5, "tokens": 7, "note": "warm-up"}]


def test_numbers_that_are_not_finite_are_valid_json_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(path) as log:
        log.append(1, "train", {"loss": math.nan, "norm": math.inf, "low": -math.inf, "fine": 1.0})
    raw = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert raw["loss"] is None
    assert raw["nan"] == ["loss"]
    (record,) = read(path)
    assert math.isnan(record["loss"])
    assert (record["norm"], record["low"], record["fine"]) == (math.inf, -math.inf, 1.0)


def test_a_resumed_log_equals_a_straight_one(tmp_path: Path) -> None:
    straight, resumed = tmp_path / "straight.jsonl", tmp_path / "resumed.jsonl"
    with MetricsLog(straight) as log:
        _write(log, range(1, 51))
    with MetricsLog(resumed) as log:
        _write(log, range(1, 38))
    with resumed.open("a") as file:
        file.write('{"step": 38, "kind": "tr')  # killed in the middle of a line
    with MetricsLog(resumed) as log:
        assert log.truncate(20) == 17 + 1
        _write(log, range(21, 51))
    assert resumed.read_bytes() == straight.read_bytes()


def test_truncating_keeps_what_is_not_finite(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(path) as log:
        log.append(1, "train", {"loss": math.nan})
        log.append(2, "train", {"loss": 1.0})
        log.truncate(1)
        log.append(2, "train", {"loss": 3.0})
    assert [record["step"] for record in read(path)] == [1, 2]
    assert math.isnan(read(path)[0]["loss"])
    assert read(path)[1]["loss"] == 3.0


def test_a_reader_ignores_the_line_that_is_being_written(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "kind": "train", "loss": 1.0}\n{"step": 2, "ki')
    assert [record["step"] for record in read(path)] == [1]
    assert read(tmp_path / "absent.jsonl") == []


@pytest.mark.parametrize("line", ["not json", '{"kind": "train"}', "[1]", '{"step": null}'])
def test_a_broken_line_is_told_with_its_place(tmp_path: Path, line: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "kind": "train"}\n' + line + "\n")
    with pytest.raises(PosttrainError, match=r"metrics\.jsonl:2: not a metrics record"):
        read(path)


def test_best_is_the_earliest_best_finite_value() -> None:
    records = [
        {"step": step, "kind": "eval", "loss": value}
        for step, value in [(1, math.nan), (2, 0.5), (3, 0.2), (4, 0.2), (5, math.inf), (6, -math.inf)]
    ]
    values = series([*records, {"step": 7, "kind": "train"}], "loss")
    assert len(values) == 6
    assert best(values, "min") == Measured(0.2, 3)
    assert best(values, "max") == Measured(0.5, 2)
    assert best(values[:1], "min") is None
