"""The manifest is all that a worker reads: its lists are those of the curation, in their order."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from posttrain.config import SuiteConfig, TrialConfig, merge
from posttrain.data import ClipSpec, Dataset, changes, prepare, read_splits, write_manifest
from posttrain.paths import RunPaths

MakeSource = Callable[..., Path]
MakeVideo = Callable[..., Path]


@pytest.fixture
def config(tmp_path: Path, make_source: MakeSource) -> TrialConfig:
    for name in ("near", "far"):
        make_source(tmp_path / name, {f"{name}{i}": f"Clip {i} of {name}." for i in range(5)}, num_frames=24)
    make_source(tmp_path / "near", {"silent": None}, num_frames=9)
    make_source(tmp_path / "alone", {f"extra{i}": "Alone." for i in range(3)})
    document = {
        "name": "trial",
        "model": {"checkpoint": "tiny:predict2.5"},
        "strategy": {"type": "lora"},
        "data": {"sources": {"near": {"path": "near", "windows": 2, "camera": "fixed"}, "far": {"path": "far"}}},
        "training": {"steps": 4, "batch_size": 2, "learning_rate": 1e-3},
    }
    return TrialConfig.model_validate(document)


SUITES = {
    "all_near": SuiteConfig(source="near").model_dump(),
    "some_near": SuiteConfig(source="near", samples=1).model_dump(),
    "elsewhere": SuiteConfig(source="alone").model_dump(),
}


@pytest.mark.parametrize("suites", [None, SUITES])
def test_read_back_lists_equal_the_curated_ones(
    config: TrialConfig, spec: ClipSpec, tmp_path: Path, suites: dict[str, SuiteConfig] | None
) -> None:
    dataset = _prepared(merge(config, {"evaluation.suites": suites}), spec, tmp_path)
    read = read_splits(RunPaths(tmp_path / "run"))
    assert read.train == dataset.train
    assert read.suites == dataset.suites
    assert list(read.train) == list(dataset.train)
    assert sum(map(len, read.suites.values())) > 0


def test_control_files_travel_with_their_samples(
    config: TrialConfig, spec: ClipSpec, tmp_path: Path, make_video: MakeVideo
) -> None:
    times_s = [k / 8 for k in range(24)]
    for source in ("near", "far"):
        for video in sorted((tmp_path / source / "videos").iterdir())[:4]:
            make_video(tmp_path / source / "depth" / video.name, times_s, seed=9)
    spec = replace(spec, controls=("depth",))
    dataset = _prepared(config, spec, tmp_path)
    read = read_splits(RunPaths(tmp_path / "run"))
    assert read.train == dataset.train
    assert all(set(sample.controls) == {"depth"} for samples in read.train.values() for sample in samples)
    summary = json.loads(RunPaths(tmp_path / "run").data_summary_json.read_text())
    assert summary["far"]["dropped"] == {"no depth control": 1}
    assert summary["near"]["dropped"] == {"no depth control": 2}
    assert changes(dataset, RunPaths(tmp_path / "run")) == []

    sample = read.train["far"][0]
    make_video(sample.controls["depth"].path, times_s, seed=10)
    told = changes(prepare(config, spec, tmp_path), RunPaths(tmp_path / "run"))
    assert told == [f"{sample.id} has another depth control"]


def test_order_survives_lines_in_any_order(config: TrialConfig, spec: ClipSpec, tmp_path: Path) -> None:
    dataset = _prepared(config, spec, tmp_path)
    manifest = RunPaths(tmp_path / "run").manifest_jsonl
    manifest.write_text("".join(sorted(manifest.read_text().splitlines(keepends=True), reverse=True)))
    read = read_splits(RunPaths(tmp_path / "run"))
    assert read.train == dataset.train
    assert read.suites == dataset.suites


def test_dropped_and_unused_samples_are_not_read(config: TrialConfig, spec: ClipSpec, tmp_path: Path) -> None:
    few = {"few": SuiteConfig(source="near", samples=1).model_dump()}
    _prepared(merge(config, {"evaluation.suites": few, "evaluation.holdout_share": 0.6}), spec, tmp_path)
    records = [json.loads(line) for line in RunPaths(tmp_path / "run").manifest_jsonl.read_text().splitlines()]
    kinds = {record["split"] for record in records}
    assert kinds == {"train", "few", "dropped", "unused"}
    read = read_splits(RunPaths(tmp_path / "run"))
    ids = [sample.id for samples in [*read.train.values(), *read.suites.values()] for sample in samples]
    assert sorted(ids) == sorted(record["id"] for record in records if record["split"] in {"train", "few"})


def _prepared(config: TrialConfig, spec: ClipSpec, tmp_path: Path) -> Dataset:
    dataset = prepare(config, spec, tmp_path)
    write_manifest(dataset, RunPaths(tmp_path / "run"))
    return dataset
