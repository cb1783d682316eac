"""A data set with planted faults: each is dropped for the right reason, and no good clip is lost."""

import json
from pathlib import Path
from typing import Any

import pytest

from posttrain.config import TrialConfig
from posttrain.data import ClipSpec, Dataset, changes, prepare, write_manifest
from posttrain.errors import DataError
from posttrain.paths import RunPaths
from tests.data import planted

SPEC = ClipSpec(frames=17, height=32, width=32, fps=8.0)


@pytest.fixture(autouse=True)
def cache(written: tuple[Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> Path:
    """One for all tests: what the first one measures, the others read."""
    folder = written[0] / "cache"
    monkeypatch.setenv("POSTTRAIN_CACHE", str(folder))
    return folder


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    root = tmp_path_factory.mktemp("planted")
    return root, planted.write(root)


def config(filters: Any = "standard") -> TrialConfig:
    return TrialConfig.model_validate(
        {
            "name": "test",
            "model": {"checkpoint": "tiny:predict2.5"},
            "strategy": {"type": "lora"},
            "data": {"sources": {"main": {"path": "main"}, "extra": {"path": "extra"}}, "filters": filters},
            "training": {"steps": 10, "batch_size": 4, "learning_rate": 1e-3},
            "evaluation": {"suites": {"val": {"source": "val"}, "held_out": {"source": "main"}}},
        }
    )


def dropped(dataset: Dataset[Any]) -> dict[str, str]:
    return {entry.id: entry.kind for scan in dataset.scans.values() for entry in scan.dropped}


def test_every_planted_fault_is_dropped_for_its_reason_and_no_good_clip_is_lost(
    written: tuple[Path, dict[str, str]],
) -> None:
    root, faults = written
    dataset = prepare(config(), SPEC, root)
    assert dropped(dataset) == faults
    kept = {sample.id for scan in dataset.scans.values() for sample in scan.kept}
    good = {f"main/{stem}" for stem in (*planted.good_clips(), *planted.fixed_camera())}
    assert kept == good | {f"extra/x{k}" for k in range(4)} | {f"val/v{k}" for k in range(4)}
    assert dataset.warnings == []  # nothing that a suite measures is trained on


def test_copies_are_told_with_the_clip_that_stays_instead(written: tuple[Path, dict[str, str]]) -> None:
    root, _ = written
    scans = prepare(config(), SPEC, root).scans.values()
    others = {
        entry.sample.id: fault.other
        for scan in scans
        for entry in scan.judged
        for fault in entry.faults
        if fault.filter == "duplicate"
    }
    assert others == {
        "main/zz_exact": "main/moving0",
        "main/zz_recompressed": "main/moving1",
        "main/a_smaller": "main/moving2",
        "main/zz_mpeg4": "main/moving3",
        "main/a_fixed_again": "main/fixed1",
        "main/zz_pan_again": "main/fast_pan",
        "extra/of_main": "main/moving4",
        "extra/of_main_recompressed": "main/moving5",
        "main/a_of_val": "val/v0",
        "main/a_of_val_recompressed": "val/v1",
    }


def test_without_filters_only_what_cannot_be_read_is_dropped(written: tuple[Path, dict[str, str]]) -> None:
    root, faults = written
    dataset = prepare(config([]), SPEC, root)
    unreadable = ("no caption", "unreadable", "0 bytes")
    assert dropped(dataset) == {sample: kind for sample, kind in faults.items() if kind in unreadable}
    assert not any("sharpness" in entry.scores for entry in dataset.scans["main"].judged)
    measured = prepare(config([]), SPEC, root, measure="all")
    assert dropped(measured) == dropped(dataset)
    assert all({"sharpness", "cuts", "outlier"} <= set(entry.scores) for entry in measured.scans["main"].judged)


def test_the_manifest_tells_scores_and_faults_and_is_not_changed_by_them(
    written: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    root, faults = written
    run = RunPaths(tmp_path / "run")
    filters = ["duplicate", {"type": "cuts", "max": 0}]
    dataset = prepare(config(filters), SPEC, root)
    write_manifest(dataset, run)
    lines = {line["id"]: line for line in map(json.loads, run.manifest_jsonl.read_text().splitlines())}
    assert lines["main/cut"]["scores"]["cuts"] == 1
    (fault,) = lines["main/cut"]["faults"]
    assert (fault["filter"], fault["value"], fault["threshold"]) == ("cuts", 1, 0)
    assert lines["main/cut"]["reason"] == fault["reason"] == "cut: cuts 1, above 0"
    assert lines["main/cut"]["caption"] == "What is seen in cut"
    assert lines["main/zz_exact"]["faults"][0]["other"] == "main/moving0"
    assert lines["main/moving0"]["faults"] == lines["main/empty"]["faults"] == []
    assert lines["main/empty"]["scores"] == {}
    summary = json.loads(run.data_summary_json.read_text())["main"]
    assert summary["dropped"]["cut"] == summary["filtered"]["cuts"] == 2
    assert summary["filtered"]["duplicate"] == sum("duplicate" in faults[i] for i in faults if i.startswith("main/"))
    assert summary["found"] == summary["kept"] + sum(summary["dropped"].values())
    assert changes(prepare(config(filters), SPEC, root, measure="all"), run) == []


def test_a_source_that_the_filters_empty_is_an_error_that_tells_what_to_loosen(
    written: tuple[Path, dict[str, str]],
) -> None:
    root, _ = written
    filters = [{"type": "resolution", "min_height": 97}, {"type": "sharpness", "min": 1e6}]
    with pytest.raises(DataError) as caught:
        prepare(config(filters), SPEC, root)
    text = str(caught.value)
    assert text.startswith("data.sources.main: the filters leave none of its ")
    assert "picture too small (main/a_fixed_again: picture too small: height 96, below 97)" in text
    assert "1 blurred (main/blurred: blurred: sharpness" in text
    assert "loosen data.filters.resolution (min 97) and data.filters.sharpness (min 1e+06)" in text
