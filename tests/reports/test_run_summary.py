"""summary.json has the shape that other programs rely on, from the directory alone."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from posttrain.paths import RunPaths
from posttrain.reports.summary import build_summary, ended_summary, write_summary
from posttrain.reports.trials import read_sweep


def test_the_shape_and_the_numbers(run: RunPaths) -> None:
    summary = write_summary(run, status="completed", seconds={"data": 3.0, "search": 500})
    assert json.loads(run.summary_json.read_text(), parse_constant=pytest.fail) == summary
    assert summary["status"] == "completed"
    assert summary["baseline"] == {"held_out/loss": 0.4121, "held_out/psnr": pytest.approx(18.242)}
    assert {key: summary["best"][key] for key in ("trial", "value", "baseline", "step")} == {
        "trial": "t0001",
        "value": 0.31205,
        "baseline": 0.4121,
        "step": 56,
    }
    assert summary["best"]["parameters"]["strategy.rank"] == 16
    assert summary["counts"] == {"completed": 2, "failed": 1, "gated": 1, "interrupted": 1, "stopped": 1}
    assert summary["seconds"] == {"train": 180.0, "evaluate": 15.0, "data": 3.0, "search": 500.0}
    assert [trial["id"] for trial in summary["trials"]] == [f"t000{i}" for i in range(1, 7)]
    assert set(summary["trials"][0]) == {"id", "status", "reason", "parameters", "value", "steps", "seconds"}
    assert summary["trials"][3]["reason"].startswith("loss is NaN")
    assert summary["trials"][0]["seconds"] == 32.5


def test_each_metric_has_its_own_winner(run: RunPaths) -> None:
    winners = build_summary(run)["metrics"]
    assert winners["held_out/loss"]["trial"] == "t0001"
    assert winners["held_out/psnr"]["trial"] == "t0005"


def test_a_copied_run_gives_the_same_summary(run: RunPaths, tmp_path: Path) -> None:
    shutil.copytree(run.root, tmp_path / "copy")
    assert build_summary(RunPaths(tmp_path / "copy")) == build_summary(run)


def test_the_status_is_what_is_so_now(live_run: RunPaths, tmp_path: Path) -> None:
    write_summary(live_run, status="completed")
    assert build_summary(live_run)["status"] == "running"
    shutil.copytree(live_run.root, tmp_path / "copy")
    copy = RunPaths(tmp_path / "copy")
    assert build_summary(copy)["status"] == "interrupted", "t0006 has not ended"
    shutil.rmtree(copy.trial("t0006").root)
    assert build_summary(copy)["status"] == "completed"


def test_what_a_run_had_come_to_is_known_until_a_trial_begins(builder: Any) -> None:
    builder.result("t0001", "gated")
    assert ended_summary(builder.run) is None, "there is no summary"
    for status in ("failed", "interrupted"):
        write_summary(builder.run, status=status)
        assert ended_summary(builder.run) is None
    for status in ("completed", "no_winner"):
        write_summary(builder.run, status=status)
        before = ended_summary(builder.run)
        assert before is not None
        assert before.still_holds(read_sweep(builder.run))
    builder.unfinished("t0002", [])
    assert not before.still_holds(read_sweep(builder.run))


def test_a_run_without_anything_usable(builder: Any) -> None:
    summary = write_summary(builder.run, status="failed")
    assert (summary["best"], summary["baseline"], summary["trials"], summary["counts"]) == (None, {}, [], {})
    builder.result("t0001", "gated")
    assert build_summary(builder.run)["best"] is None
