"""Pictures as the clips of a model whose clip is one frame: beside videos, alone, and refused elsewhere."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from posttrain.config import SourceConfig
from posttrain.data import ClipSpec, SourceScan, decode, scan
from posttrain.errors import DataError

IMAGE = ClipSpec(frames=1, height=32, width=48, fps=8.0)
MakeSource = Callable[..., Path]


def read(root: Path, spec: ClipSpec, windows: int = 1) -> SourceScan:
    return scan("art", SourceConfig(path=str(root), windows=windows), spec, Path("/nowhere"))


def write_image(path: Path, caption: str | None = None, size: tuple[int, int] = (48, 32)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(path.name)).integers(0, 255, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path)
    if caption:
        captions = path.parent.parent / "captions"
        captions.mkdir(exist_ok=True)
        (captions / f"{path.stem}.json").write_text(json.dumps({"caption": caption}))
    return path


def test_images_alone_are_a_source(tmp_path: Path) -> None:
    picture = write_image(tmp_path / "images" / "a.png", "a red disc")
    write_image(tmp_path / "images" / "bb.JPG", "a blue disc", size=(20, 20))
    result = read(tmp_path, IMAGE)
    assert [(sample.id, sample.caption, sample.start_s) for sample in result.kept] == [
        ("art/a", "a red disc", 0.0),
        ("art/bb", "a blue disc", 0.0),
    ]
    assert result.notes == {"enlarged: smaller than the model's picture": 1}
    assert np.array_equal(decode(picture, IMAGE)[0], np.asarray(Image.open(picture)))
    assert decode(result.kept[1].video, IMAGE).shape == (1, 32, 48, 3)


def test_images_stand_beside_the_first_frames_of_videos(tmp_path: Path, make_source: MakeSource) -> None:
    root = make_source(tmp_path / "art", {"clip": "a clip"})
    write_image(root / "images" / "still.png", "a still")
    write_image(root / "images" / "clip.png")
    result = read(root, IMAGE)
    assert {sample.id: sample.video.suffix for sample in result.kept} == {"art/clip": ".mp4", "art/still": ".png"}
    assert [(entry.id, entry.reason) for entry in result.dropped] == [
        ("art/clip.png", "same name: clip.mp4 is read already")
    ]
    assert decode(result.kept[0].video, IMAGE).shape == (1, 32, 48, 3)
    assert result.notes == {}


def test_what_is_no_image_is_dropped_with_a_reason(tmp_path: Path) -> None:
    write_image(tmp_path / "images" / "good.png", "good")
    write_image(tmp_path / "images" / "silent.png")
    (tmp_path / "images" / "broken.png").write_bytes(b"junk")
    (tmp_path / "images" / "notes.txt").write_text("no image")
    result = read(tmp_path, IMAGE)
    assert [sample.id for sample in result.kept] == ["art/good"]
    assert {entry.id: entry.reason for entry in result.dropped} == {
        "art/silent": "no caption",
        "art/broken": "unreadable image: broken.png",
        "art/notes.txt": "not an image: .txt",
    }


def test_a_model_of_clips_reads_no_images_and_says_so(tmp_path: Path, make_source: MakeSource, spec: ClipSpec) -> None:
    root = make_source(tmp_path / "art", {"clip": "a clip"})
    write_image(root / "images" / "still.png", "a still")
    result = read(root, spec)
    assert [sample.id for sample in result.kept] == ["art/clip"]
    assert result.ignored["images/ beside videos/: the model reads clips of several frames"] == 1
    write_image(tmp_path / "only" / "images" / "still.png", "a still")
    with pytest.raises(DataError, match=r"no video \(.*\) in .*only/videos; its images/ are read by a model that"):
        read(tmp_path / "only", spec)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no video \(.*\) in .*empty/videos and no image \(.*\) in .*empty/images"):
        read(tmp_path / "empty", IMAGE)
