"""Trials that the study has closed and whose result.json is gone get it back."""

from pathlib import Path

from posttrain.paths import RunPaths
from posttrain.reports.trials import read_sweep
from posttrain.sweep.events import restore_results
from posttrain.sweep.study import TrialRecord

OBJECTIVE = {"metric": "held_out/loss", "mode": "min"}


def record(trial_id: str, status: str, value: float | None) -> TrialRecord:
    return TrialRecord(trial_id, status, {"strategy.rank": 8}, value, "a reason", {10: 0.5, 20: 0.7})


def test_results_that_were_lost_are_written_again(tmp_path: Path) -> None:
    run = RunPaths(tmp_path)
    records = [record("t0001", "completed", 0.5), record("t0002", "failed", None), record("t0003", "running", None)]
    run.trial("t0001").root.mkdir(parents=True)
    run.trial("t0001").result_json.write_text('{"status": ')
    assert restore_results(run, records, OBJECTIVE, seed=0) == ["t0001", "t0002"]
    rows = {row.id: row for row in read_sweep(run).rows}
    assert (rows["t0001"].status, rows["t0001"].value, rows["t0001"].value_step) == ("completed", 0.5, 10)
    assert (rows["t0002"].status, rows["t0002"].reason) == ("failed", "a reason")
    assert "t0003" not in rows
    assert restore_results(run, records, OBJECTIVE, seed=0) == []
