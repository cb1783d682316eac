"""The split into training and suites, and its record in the run directory."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from posttrain.config import TrialConfig
from posttrain.data import ClipSpec, Dataset, MixtureSchedule, Sample, changes, plan_mixture, prepare, write_manifest
from posttrain.data.prepare import draw_suite, split
from posttrain.errors import DataError
from posttrain.paths import RunPaths

MakeSource = Callable[..., Path]


def config(sources: dict[str, Any], **sections: Any) -> TrialConfig:
    return TrialConfig.model_validate(
        {
            "name": "test",
            "model": {"checkpoint": "tiny:predict2.5"},
            "strategy": {"type": "lora"},
            "data": {"sources": sources, **sections.pop("data", {})},
            "training": {"steps": 10, "batch_size": 4, "learning_rate": 1e-3},
            **sections,
        }
    )


def samples(count: int, *, windows: int = 1) -> list[Sample]:
    return [
        Sample(f"s/{k}" + (f"@{w}" if w else ""), "s", Path(f"{k}.mp4"), float(w), "c", {}, f"hash{k}")
        for k in range(count)
        for w in range(windows)
    ]


@pytest.mark.parametrize(
    ("count", "share", "held"), [(2, 0.01, 1), (2, 0.99, 1), (10, 0.2, 2), (24, 0.2, 5), (99, 0.5, 50)]
)
def test_the_share_is_exact_at_least_one_and_never_all(count: int, share: float, held: int) -> None:
    train, held_out = split("s", samples(count), share)
    assert len(held_out) == held
    assert {sample.id for sample in train} | {sample.id for sample in held_out} == {s.id for s in samples(count)}
    assert not {sample.id for sample in train} & {sample.id for sample in held_out}


def test_a_split_goes_by_video_and_not_by_window() -> None:
    train, held_out = split("s", samples(10, windows=3), 0.3)
    assert len(held_out) == 9
    assert not {sample.video for sample in train} & {sample.video for sample in held_out}


def test_new_clips_do_not_reshuffle_the_split() -> None:
    before = {sample.id for sample in split("s", samples(100), 0.2)[1]}
    after = {sample.id for sample in split("s", samples(105), 0.2)[1]}
    # one more is held out, and at most the five new ones can push an old one back
    assert len(before - after) <= 5
    reversed_order = {sample.id for sample in split("s", samples(100)[::-1], 0.2)[1]}
    assert reversed_order == before


def test_copies_of_a_clip_stay_on_one_side() -> None:
    clips = samples(10)
    copies = [Sample(f"s/copy{k}", "s", Path("x.mp4"), 0.0, "c", {}, clip.content_hash) for k, clip in enumerate(clips)]
    train, held_out = split("s", clips + copies, 0.5)
    assert not {sample.content_hash for sample in train} & {sample.content_hash for sample in held_out}
    assert len(held_out) == 10


def test_one_video_cannot_be_split() -> None:
    with pytest.raises(DataError, match=r"data\.sources\.s: it has one usable video"):
        split("s", samples(1), 0.2)
    assert split("s", samples(1), 0.0) == (samples(1), [])


def test_a_suite_takes_sources_in_turn_and_videos_before_windows() -> None:
    a = samples(5, windows=2)
    b = [Sample(f"t/{k}", "t", Path(f"{k}.mp4"), 0.0, "c", {}, f"other{k}") for k in range(2)]
    drawn = draw_suite([a, b], 7)
    assert [sample.source for sample in drawn] == ["s", "t", "s", "t", "s", "s", "s"]
    assert len({sample.content_hash for sample in drawn}) == 7
    assert len(draw_suite([a, b], 100)) == 12


def build(tmp_path: Path, make_source: MakeSource, spec: ClipSpec, **sections: Any) -> Dataset:
    make_source(tmp_path / "ego", {f"e{k}": f"ego {k}" for k in range(5)} | {"silent": None})
    make_source(tmp_path / "cctv", {f"c{k}": f"cctv {k}" for k in range(4)}, num_frames=11)
    sources = {"ego": {"path": "ego"}, "cctv": {"path": "cctv", "quality": 0.5}}
    return prepare(config(sources, **sections), spec, tmp_path)


def check_record(dataset: Dataset, run: RunPaths) -> list[dict[str, Any]]:
    """Manifest and summary agree with each other, and everything adds up."""
    write_manifest(dataset, run)
    lines = [json.loads(line) for line in run.manifest_jsonl.read_text().splitlines()]
    summary = json.loads(run.data_summary_json.read_text())
    assert set(summary) == set(dataset.scans)
    for counts in summary.values():
        assert counts["found"] == counts["kept"] + sum(counts["dropped"].values())
        assert counts["kept"] == counts["train"] + counts["held_out"]
    for source, kept in dataset.train.items():
        assert [line["id"] for line in lines if line["source"] == source and line["split"] == "train"] == [
            sample.id for sample in kept
        ]
    for suite, drawn in dataset.suites.items():
        assert {line["id"] for line in lines if line["split"] == suite} == {sample.id for sample in drawn}
    distinct = {(line["source"], line["id"]) for line in lines}
    assert len(distinct) == sum(counts["found"] for counts in summary.values())
    return lines


def test_without_suites_every_source_is_held_out_in_part(
    tmp_path: Path, make_source: MakeSource, spec: ClipSpec
) -> None:
    dataset = build(tmp_path, make_source, spec)
    assert dataset.sizes == {"ego": 4, "cctv": 3}
    assert {name: len(drawn) for name, drawn in dataset.suites.items()} == {"held_out": 2}
    few = "evaluation.suites.held_out: 2 clips are few; differences between trials will be noise"
    assert dataset.warnings == [f"{few}; raise evaluation.holdout_share, or add data"]
    lines = check_record(dataset, RunPaths(tmp_path / "run"))
    assert sorted(line["split"] for line in lines) == ["dropped"] + ["held_out"] * 2 + ["train"] * 7
    dropped = next(line for line in lines if line["split"] == "dropped")
    assert (dropped["id"], dropped["reason"], dropped["caption"]) == ("ego/silent", "no caption", None)


def test_only_what_a_suite_measures_is_held_out(tmp_path: Path, make_source: MakeSource, spec: ClipSpec) -> None:
    make_source(tmp_path / "other camera", {f"o{k}": f"other {k}" for k in range(6)}, num_frames=12)
    suites = {
        "quality": {"source": "ego", "samples": 1},
        "quality_again": {"source": "ego", "samples": 1},
        "other": {"source": "other camera", "samples": 4},
    }
    dataset = build(tmp_path, make_source, spec, evaluation={"suites": suites, "holdout_share": 0.4})
    assert dataset.sizes == {"ego": 3, "cctv": 4}
    assert {name: len(drawn) for name, drawn in dataset.suites.items()} == {
        "quality": 1,
        "quality_again": 1,
        "other": 4,
    }
    assert dataset.suites["quality"] == dataset.suites["quality_again"]
    lines = check_record(dataset, RunPaths(tmp_path / "run"))
    assert sum(line["split"] == "unused" for line in lines) == 1 + 2
    assert json.loads((tmp_path / "run" / "data" / "summary.json").read_text())["suite:other"]["train"] == 0


def test_a_suite_may_bear_the_name_of_a_source(tmp_path: Path, make_source: MakeSource, spec: ClipSpec) -> None:
    make_source(tmp_path / "test", {f"e{k}": f"test {k}" for k in range(4)}, num_frames=12)
    dataset = build(tmp_path, make_source, spec, evaluation={"suites": {"ego": {"source": "test"}}})
    assert dataset.sizes == {"ego": 5, "cctv": 4}
    write_manifest(dataset, RunPaths(tmp_path / "run"))
    lines = [json.loads(line) for line in (tmp_path / "run/data/manifest.jsonl").read_text().splitlines()]
    assert sum(line["split"] == "ego" for line in lines) == 4
    assert sum(line["split"] == "train" for line in lines) == 9


def test_a_suite_of_clips_that_are_trained_on_is_told(tmp_path: Path, make_source: MakeSource, spec: ClipSpec) -> None:
    make_source(tmp_path / "val", {f"v{k}": f"val {k}" for k in range(4)}, num_frames=12)
    make_source(tmp_path / "ego", {f"e{k}": f"ego {k}" for k in range(5)})
    shutil.copy(tmp_path / "ego/videos/e1.mp4", tmp_path / "val/videos/v0.mp4")
    dataset = build(tmp_path, make_source, spec, evaluation={"suites": {"val": {"source": "val"}}})
    assert dataset.warnings[0].startswith(
        "evaluation.suites.val: 1 of 4 clips are trained on as well (val/v0 is ego/e1)"
    )


def test_a_suite_that_is_not_there_names_its_own_path(tmp_path: Path, make_source: MakeSource, spec: ClipSpec) -> None:
    with pytest.raises(DataError, match=r"evaluation\.suites\.val\.source: .* is not there"):
        build(tmp_path, make_source, spec, evaluation={"suites": {"val": {"source": "val"}}})


def test_the_stages_of_a_run_cover_its_draws(tmp_path: Path, make_source: MakeSource, spec: ClipSpec) -> None:
    stages = [
        {"name": "broad", "fraction": 0.65, "weights": {"ego": 0.7, "cctv": 0.3}},
        {"name": "focused", "fraction": 0.35, "weights": {"ego": 1.0}},
    ]
    sources = {"ego": {"path": "ego"}, "cctv": {"path": "cctv"}}
    dataset = build(tmp_path, make_source, spec, data={"stages": stages})
    staged = config(sources, data={"stages": stages}).data
    planned = plan_mixture(staged, dataset.train, num_steps=10, batch_size=4).stages
    assert [(stage.name, stage.num_draws) for stage in planned] == [("broad", 24), ("focused", 16)]
    schedule = MixtureSchedule(dataset.sizes, planned, seed=0)
    assert sum(1 for _ in schedule) == 40
    assert schedule.counts()["focused"] == {"ego": 16}
    one = plan_mixture(config(sources).data, dataset.train, num_steps=10, batch_size=4).stages
    assert [(stage.name, stage.num_draws, stage.weights) for stage in one] == [("all", 40, {"ego": 1.0, "cctv": 1.0})]
    with pytest.raises(DataError, match=r"data\.stages\.focused\.fraction: .* no step at all"):
        plan_mixture(staged, dataset.train, num_steps=1, batch_size=4)


def test_what_a_trial_would_read_otherwise_is_told(tmp_path: Path, make_source: MakeSource, spec: ClipSpec) -> None:
    run = RunPaths(tmp_path / "run")
    dataset = build(tmp_path, make_source, spec)
    assert changes(dataset, run) == []
    write_manifest(dataset, run)
    assert changes(dataset, run) == []
    first, second = dataset.train["ego"][:2]
    first.video.unlink()
    (tmp_path / "ego" / "captions" / f"{second.video.stem}.json").write_text('{"caption": "another one"}')
    sources = {"ego": {"path": "ego"}, "cctv": {"path": "cctv"}}
    told = changes(prepare(config(sources), spec, tmp_path), run)
    assert f"{first.id} is no longer in train" in told
    assert f"{second.id} has another caption" in told
    run.manifest_jsonl.write_text("{")
    assert changes(dataset, run) == []
