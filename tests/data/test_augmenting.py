"""Augmentations held against real files: how long videos are, what is left alone, and what cannot act at all."""

import json
from pathlib import Path
from typing import Any

import pytest

from posttrain.config import SourceConfig, TrialConfig
from posttrain.data import ClipSpec, Dataset, prepare, read_splits, scan, summarise, verdicts, write_manifest
from posttrain.errors import DataError
from posttrain.paths import RunPaths
from tests.data.conftest import steady, write_video

SPEC = ClipSpec(frames=5, height=32, width=32, fps=8.0)
STRIDE = {"type": "stride", "probability": 0.5, "max": 2}
SPEED = {"type": "speed", "probability": 0.5, "max": 1.5}
FLIP = {"type": "flip", "probability": 0.5}


def write(root: Path, clips: dict[str, tuple[int, str]]) -> Path:
    """A source: stem -> number of frames at 8 fps, and caption."""
    for number, (stem, (num_frames, caption)) in enumerate(clips.items()):
        write_video(root / "videos" / f"{stem}.mp4", steady(num_frames, 8), seed=number)
        (root / "captions").mkdir(exist_ok=True)
        (root / "captions" / f"{stem}.json").write_text(json.dumps({"caption": caption}), encoding="utf-8")
    return root


def prepared(root: Path, *augmentations: dict[str, Any]) -> Dataset:
    config = TrialConfig.model_validate(
        {
            "name": "test",
            "model": {"checkpoint": "tiny:predict2.5"},
            "strategy": {"type": "lora"},
            "data": {"sources": {"one": {"path": str(root)}}, "augmentations": augmentations},
            "training": {"steps": 10, "batch_size": 4, "learning_rate": 1e-3},
            "evaluation": {"suites": {"own": {"source": str(root)}}},
        }
    )
    return prepare(config, SPEC, Path())


def paces(dataset: Dataset) -> dict[str, float]:
    return {sample.id.removeprefix("one/"): sample.longest_pace for sample in dataset.train["one"]}


CLIPS = {"a": (5, "A cat."), "b": (8, "A cat sleeps."), "c": (10, "A dog."), "d": (30, "A dog sleeps.")}


def test_videos_are_measured_for_the_paces_that_are_asked_for(tmp_path: Path) -> None:
    root = write(tmp_path / "s", CLIPS)
    # at pace 1.5 the last frame begins 0.75 s after the first, at 2 one second, at 3 one and a half
    assert paces(prepared(root, STRIDE, SPEED)) == {"a": 1.0, "b": 1.5, "c": 2.0, "d": 3.0}
    assert paces(prepared(root, STRIDE)) == {"a": 1.0, "b": 1.0, "c": 2.0, "d": 2.0}
    assert set(paces(prepared(root, FLIP)).values()) == {1.0}


def test_a_control_that_is_shorter_than_its_video_counts(tmp_path: Path) -> None:
    root = write(tmp_path / "s", CLIPS)
    for stem, (num_frames, _) in CLIPS.items():
        write_video(root / "depth" / f"{stem}.mp4", steady(min(num_frames, 12), 8), seed=9)
    config = TrialConfig.model_validate(
        {
            "name": "test",
            "model": {"checkpoint": "tiny:transfer2.5", "controls": {"depth": 1.0}},
            "strategy": {"type": "lora"},
            "data": {"sources": {"one": {"path": str(root)}}, "augmentations": [STRIDE, SPEED]},
            "training": {"steps": 10, "batch_size": 4, "learning_rate": 1e-3},
            "evaluation": {"suites": {"own": {"source": str(root)}}},
        }
    )
    spec = ClipSpec(frames=5, height=32, width=32, fps=8.0, controls=("depth",))
    assert paces(prepare(config, spec, Path())) == {"a": 1.0, "b": 1.5, "c": 2.0, "d": 2.0}


def test_what_is_left_alone_is_counted_with_the_reason(tmp_path: Path) -> None:
    root = write(tmp_path / "s", {**CLIPS, "e": (30, "The dog left."), "f": (30, "A sign."), "g": (30, "A fast dog.")})
    dataset = prepared(root, FLIP, STRIDE)
    expected = {
        "flip leaves the sample alone: left or right in its caption may not mean the side": 1,
        "flip leaves the sample alone: its caption speaks of something to read": 1,
        "stride leaves the sample alone: its video is too short for the largest value": 2,
        "stride leaves the sample alone: its caption says how fast things go": 1,
    }
    assert expected.items() <= summarise(dataset)["one"]["notes"].items()
    assert not any("alone" in note for note in prepared(root).scans["one"].notes)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (
            {**STRIDE, "max": 8},
            r"^data\.augmentations\.stride: it has no effect, .* all 4 .*: 4 x its video.*lower its `max`",
        ),
        (
            {"type": "paraphrase", "probability": 0.1},
            r"^data\.augmentations\.paraphrase: .*4 x it has no paraphrases.*\.txt",
        ),
    ],
)
def test_an_augmentation_that_can_act_on_nothing_is_refused(tmp_path: Path, step: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        prepared(write(tmp_path / "s", CLIPS), step)


def test_a_second_look_reads_no_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write(tmp_path / "s", CLIPS)
    before = paces(prepared(root, STRIDE))

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a video was read again")

    monkeypatch.setattr(verdicts, "check_window", refuse)
    assert paces(prepared(root, STRIDE)) == before


def test_workers_read_back_what_was_measured(tmp_path: Path) -> None:
    root = write(tmp_path / "s", CLIPS)
    (root / "captions" / "c.paraphrases.txt").write_text("A hound.\n", encoding="utf-8")
    dataset, run = prepared(root, STRIDE), RunPaths(tmp_path / "run")
    write_manifest(dataset, run)
    assert read_splits(run).train == dataset.train
    assert [sample.paraphrases for sample in dataset.train["one"]] == [(), (), ("A hound.",), ()]


def test_paraphrases_are_read_from_all_their_places(tmp_path: Path) -> None:
    root = write(tmp_path / "s", CLIPS)
    folder = root / "captions"
    (folder / "a.paraphrases.txt").write_text("\ufeffOne cat.\n\n  A kitten.  \nA cat.\nOne cat.\n", encoding="utf-8")
    lines = ['"One cat."', '{"caption": "It sleeps."}', '{"x": 1}', "no JSON", '["a"]']
    (folder / "b.paraphrases.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (folder / "c.json").write_text(json.dumps({"caption": "A dog.", "paraphrases": ["A hound.", 7], "x": 1}), "utf-8")
    (folder / "d.paraphrases.txt").write_bytes(b"caf\xe9")
    (folder / "gone.paraphrases.txt").write_text("Nobody.", encoding="utf-8")
    found = scan("one", SourceConfig(path=str(root)), SPEC, Path())
    assert {sample.id: sample.paraphrases for sample in found.kept} == {
        "one/a": ("One cat.", "A kitten."),
        "one/b": ("One cat.", "It sleeps."),
        "one/c": ("A hound.",),
        "one/d": (),
    }
    assert found.kept[2].metadata == {"x": 1}
    assert found.ignored == {"paraphrases without a video": 1}
    assert found.notes == {
        "paraphrases not used: the same as the caption or as another one": 1,
        "paraphrases not used: not a text": 2,
        "paraphrases not used: not UTF-8: byte 3": 1,
    }
    assert not found.dropped
