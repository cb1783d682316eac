"""Reading a run directory: every state of a trial, and directories that are not whole."""

from pathlib import Path
from typing import Any

import pytest

from posttrain.errors import ConfigError
from posttrain.paths import RunPaths
from posttrain.reports.trials import read_sweep


def test_every_trial_is_a_row(run: RunPaths) -> None:
    view = read_sweep(run)
    assert {row.id: row.status for row in view.rows} == {
        "t0000": "completed",
        "t0001": "completed",
        "t0002": "stopped",
        "t0003": "gated",
        "t0004": "failed",
        "t0005": "completed",
        "t0006": "interrupted",
    }
    assert (view.name, view.metric, view.mode, view.planned, view.steps) == (
        "warehouse-lora",
        "held_out/loss",
        "min",
        8,
        60,
    )
    assert view.counts == {"completed": 2, "failed": 1, "gated": 1, "interrupted": 1, "stopped": 1}


def test_the_best_is_no_baseline_and_no_unfinished_trial(run: RunPaths) -> None:
    view = read_sweep(run)
    assert view.best is not None
    assert [row.id for row in view.ranked] == ["t0001", "t0002", "t0005"]
    assert view.delta(view.best) == pytest.approx(-0.10005)
    assert view.baseline is not None
    assert view.delta(view.baseline) is None


def test_a_trial_in_flight_is_told_from_its_log_and_its_configuration(live_run: RunPaths) -> None:
    row = read_sweep(live_run).rows[-1]
    assert (row.status, row.reason) == ("running", "")
    assert (row.step, row.value, row.value_step) == (30, 0.35, 8)
    assert row.parameters == {
        "training.learning_rate": 2.5e-4,
        "strategy.rank": 8,
        "data.stages.broad.weights": {"cctv": 0.7, "ego": 0.3},
    }


def test_a_lock_that_nobody_holds_is_no_live_run(run: RunPaths) -> None:
    run.lock.write_bytes(b"")
    assert not read_sweep(run).active


def test_a_maximised_objective(builder: Any) -> None:
    builder.sweep({"name": "s", "search": {"objective": {"metric": "held_out/psnr", "mode": "max"}}})
    for trial_id, value in {"t0000": 20.0, "t0001": 19.0, "t0002": 24.0}.items():
        objective = {"metric": "held_out/psnr", "mode": "max", "value": value, "step": 5}
        builder.result(trial_id, "completed", objective=objective)
    view = read_sweep(builder.run)
    assert view.best is not None
    assert view.best.id == "t0002"
    assert view.delta(view.best) == 4.0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, "0.1", True])
def test_a_value_that_is_no_finite_number_never_wins(builder: Any, value: object) -> None:
    builder.result(
        "t0001", "completed", objective={"metric": "held_out/loss", "mode": "min", "value": value, "step": 1}
    )
    builder.result("t0002", "completed", 0.9)
    view = read_sweep(builder.run)
    assert view.best is not None
    assert view.best.id == "t0002"
    assert view.rows[0].value is None


def test_a_broken_file_is_a_row_that_says_so(run: RunPaths) -> None:
    run.trial("t0001").result_json.write_text('{"id": "t00')
    run.trial("t0005").result_json.write_text("[]")
    run.trial("t0006").metrics_jsonl.write_text("garbage\n")
    rows = {row.id: row for row in read_sweep(run).rows}
    assert rows["t0001"].status == rows["t0005"].status == rows["t0006"].status == "unreadable"
    assert "result.json" in rows["t0001"].reason
    assert "metrics.jsonl:1" in rows["t0006"].reason
    assert rows["t0002"].status == "stopped"


def test_an_interrupted_result_is_resumed_not_ended(builder: Any) -> None:
    builder.unfinished("t0001", [{"step": 8, "kind": "eval", "held_out/loss": 0.35}])
    builder.result("t0001", "interrupted", 0.35)
    assert read_sweep(builder.run).rows[0].status == "interrupted"


def test_an_empty_run_and_folders_that_are_no_run(builder: Any, tmp_path: Path) -> None:
    view = read_sweep(builder.run)
    assert (view.rows, view.best, view.baseline) == ((), None, None)
    with pytest.raises(ConfigError, match="there is no such folder"):
        read_sweep(RunPaths(tmp_path / "runs" / "typo"))
    (tmp_path / "other").mkdir()
    with pytest.raises(ConfigError, match="neither sweep"):
        read_sweep(RunPaths(tmp_path / "other"))
