"""Control clips: pure functions of the pixels, and files that must fit the clip or the clip is dropped and counted."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from posttrain.config import SourceConfig
from posttrain.data import ClipSpec, SourceScan, decode, demo, scan
from posttrain.data.controls import COMPUTED, identity, make_control, read_names
from posttrain.data.decode import Frames
from posttrain.data.sample import Sample, UnusableClip, count_kinds
from posttrain.errors import DataError

MakeVideo = Callable[..., Path]
MakeSource = Callable[..., Path]
SHAPES = ClipSpec(17, 64, 64, 8.0)


def read(root: Path, spec: ClipSpec, *controls: str, windows: int = 1) -> SourceScan:
    return scan(
        "ego", SourceConfig(path=str(root), windows=windows), replace(spec, controls=controls), Path("/nowhere")
    )


def reasons(result: SourceScan) -> dict[str, str]:
    return {entry.id: entry.reason for entry in result.dropped}


@pytest.fixture
def squares() -> Frames:
    """A white square that moves right over black, 32 x 48 pixels."""
    frames = np.zeros((5, 32, 48, 3), np.uint8)
    for index, frame in enumerate(frames):
        frame[8:24, 4 + 4 * index : 20 + 4 * index] = 255
    return frames


@pytest.mark.parametrize("name", sorted(COMPUTED))
def test_computed_controls_keep_shape_and_input_and_repeat(name: str, squares: Frames) -> None:
    before = squares.copy()
    made = COMPUTED[name](squares)
    assert made.shape == squares.shape
    assert made.dtype == np.uint8
    assert np.array_equal(squares, before)
    assert np.array_equal(COMPUTED[name](squares), made)
    assert np.array_equal(COMPUTED[name](squares[2:3])[0], made[2]), "each frame for itself"


def test_edges_lie_on_the_outline_and_say_nothing_of_colour(squares: Frames) -> None:
    edges = COMPUTED["edge"](squares)
    assert set(np.unique(edges)) == {0, 255}
    assert (edges == edges[..., :1]).all()
    frame = edges[0, :, :, 0] > 0
    assert frame.any(), "there is an outline"
    assert not frame[11:21, 7:17].any(), "nothing inside"
    assert not frame[:, 23:].any(), "nothing outside"
    recoloured = squares.copy()
    recoloured[..., 2] = 0
    assert np.array_equal(COMPUTED["edge"](recoloured), edges)


def test_blur_keeps_colours_and_loses_detail(squares: Frames) -> None:
    rng = np.random.default_rng(0)
    noisy = np.clip(squares * 0.6 + 60 + rng.normal(0, 30, squares.shape), 0, 255).astype(np.uint8)
    blurred = COMPUTED["blur"](noisy).astype(float)
    assert np.abs(blurred.mean(axis=(1, 2)) - noisy.mean(axis=(1, 2))).max() < 5
    assert np.abs(np.diff(blurred, axis=2)).mean() < 0.15 * np.abs(np.diff(noisy.astype(float), axis=2)).mean()
    assert blurred[0, 16, 12].min() > blurred[0, 2, 44].max(), "bright stays bright"


def test_a_picture_of_a_few_pixels_has_controls_too() -> None:
    tiny = np.random.default_rng(0).integers(0, 255, (1, 3, 5, 3), dtype=np.uint8)
    for maker in COMPUTED.values():
        assert maker(tiny).shape == tiny.shape


def test_only_depth_and_seg_are_files() -> None:
    assert read_names({"edge": 1.0, "seg": 0.5, "blur": 1.0, "depth": 0.1}) == ("depth", "seg")
    assert read_names(None) == ()


@pytest.fixture
def source(tmp_path: Path, make_source: MakeSource, make_video: MakeVideo) -> Path:
    """Three clips, each with depth and segmentation of its own content."""
    root = make_source(tmp_path / "ego", {"a": "one", "b": "two", "c": "three"}, num_frames=20)
    for offset, name in ((50, "depth"), (80, "seg")):
        for number, stem in enumerate("abc"):
            make_video(root / name / f"{stem}.mp4", [k / 8 for k in range(20)], seed=offset + number)
    return root


def test_controls_are_read_with_the_window_of_the_clip(source: Path, spec: ClipSpec) -> None:
    result = read(source, spec, "depth", "seg", windows=2)
    assert [sample.id for sample in result.kept] == ["ego/a", "ego/a@1", "ego/b", "ego/b@1", "ego/c", "ego/c@1"]
    assert result.dropped == []
    assert result.ignored == {}
    second = result.kept[1]
    assert second.start_s > 0
    frames = decode(second.video, spec, second.start_s)
    expected = decode(source / "depth" / "a.mp4", spec, second.start_s)
    assert np.array_equal(make_control("depth", second, spec, frames), expected)
    assert np.array_equal(make_control("edge", second, spec, frames), COMPUTED["edge"](frames))
    names = ("edge", "blur", "depth", "seg")
    identities = [identity(name, sample) for sample in result.kept for name in names]
    assert len(set(identities)) == len(identities)


def test_without_controls_the_folders_are_not_read(source: Path, spec: ClipSpec) -> None:
    (source / "depth" / "a.mp4").write_bytes(b"junk")
    result = read(source, spec)
    assert [dict(sample.controls) for sample in result.kept] == [{}, {}, {}]
    with pytest.raises(UnusableClip, match="no depth control"):
        make_control("depth", result.kept[0], spec, np.zeros((9, 32, 32, 3), np.uint8))


def test_every_bad_control_is_a_drop_with_a_reason(
    source: Path, make_source: MakeSource, make_video: MakeVideo, spec: ClipSpec
) -> None:
    stems = {"junk": "j", "short": "s", "empty": "e", "shape": "h", "cut": "t", "link": "l", "torn": "o"}
    make_source(source, stems, num_frames=20)
    for stem in stems:
        shutil.copy(source / "seg" / "a.mp4", source / "seg" / f"{stem}.mp4")
    depth = source / "depth"
    (depth / "b.mp4").unlink()
    (depth / "junk.mp4").write_bytes(b"junk" * 500)
    make_video(depth / "short.mp4", [k / 8 for k in range(6)], seed=1)
    (depth / "empty.mp4").write_bytes(b"")
    make_video(depth / "shape.mp4", [k / 8 for k in range(20)], size=(48, 48), seed=1)
    make_video(depth / "cut.mp4", [k / 8 for k in range(12)], seed=1)
    (depth / "link.mp4").symlink_to("nothing.mp4")
    whole = (depth / "a.mp4").read_bytes()
    (depth / "torn.mp4").write_bytes(whole[: len(whole) // 2])
    (depth / "notes.txt").write_text("x")
    (depth / "orphan.mp4").write_bytes(whole)
    (depth / "a.mov").write_bytes(whole)

    result = read(source, spec, "depth", "seg")
    assert [sample.id for sample in result.kept] == ["ego/a", "ego/c", "ego/cut"]
    told = reasons(result)
    assert told["ego/b"] == "no depth control"
    assert told["ego/short"] == "depth control too short: 0.75 s of 1.12 s"
    assert told["ego/empty"] == "depth control 0 bytes"
    assert told["ego/shape"] == "depth control of another shape: 1.00 wide for 1 high, the video 1.33"
    for stem in ("junk", "link", "torn"):
        assert told[f"ego/{stem}"].startswith("depth control unreadable: "), told
    assert result.found == 10
    assert count_kinds(result.dropped)["depth control unreadable"] == 3
    assert result.ignored == {
        "no video in depth/": 1,
        "depth control without a video": 1,
        "second depth control of a video": 1,
    }
    second = read(source, spec, "depth", windows=2)
    assert reasons(second)["ego/cut@1"].startswith("depth control too short: "), "the window, not the clip, is dropped"
    assert "ego/cut" in [sample.id for sample in second.kept]


def test_a_dropped_clip_keeps_its_own_reason(source: Path, spec: ClipSpec) -> None:
    (source / "videos" / "a.mp4").write_bytes(b"")
    (source / "depth" / "a.mp4").unlink()
    (source / "captions" / "b.json").unlink()
    assert reasons(read(source, spec, "depth")) == {"ego/a": "0 bytes", "ego/b": "no caption"}


def test_no_control_at_all_is_an_error_with_a_remedy(source: Path, spec: ClipSpec) -> None:
    shutil.rmtree(source / "seg")
    with pytest.raises(DataError, match=r"3 no seg control .*seg/<stem>.mp4 beside videos/, or leave seg out of model"):
        read(source, spec, "depth", "seg")


def test_a_changed_control_or_clip_is_judged_anew(source: Path, make_video: MakeVideo, spec: ClipSpec) -> None:
    first = {sample.id: sample for sample in read(source, spec, "depth").kept}
    again = {sample.id: sample for sample in read(source, spec, "depth").kept}
    assert again == first
    make_video(source / "depth" / "a.mp4", [k / 8 for k in range(20)], seed=7)
    make_video(source / "videos" / "b.mp4", [k / 8 for k in range(20)], size=(48, 48), seed=7)
    changed = read(source, spec, "depth")
    by_id = {sample.id: sample for sample in changed.kept}
    assert by_id["ego/a"].controls["depth"].content_hash != first["ego/a"].controls["depth"].content_hash
    assert by_id["ego/a"].content_hash == first["ego/a"].content_hash
    assert reasons(changed)["ego/b"].startswith("depth control of another shape")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    """The first scenes of each camera of demo:shapes-control as they are read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POSTTRAIN_CACHE", str(tmp_path_factory.mktemp("demo")))
        patch.setattr(demo.shapes_control, "CLIPS_PER_FOLDER", 12)
        source = SourceConfig(path="demo:shapes-control")
        return scan("scenes", source, replace(SHAPES, controls=("depth", "seg")), Path()).kept


def test_demo_captions_name_colours_alone(scenes: list[Sample]) -> None:
    allowed = {*demo.render.COLOURS, *demo.render.BACKGROUNDS, "a", "an", "and", "body", "wall", "ground"}
    for sample in scenes:
        words = set(sample.caption.lower().replace(",", "").replace(".", "").split())
        assert words <= allowed, sample.caption
    assert len({sample.caption for sample in scenes}) > 0.9 * len(scenes)


def test_demo_controls_are_true(scenes: list[Sample]) -> None:
    """Each body has its caption's colour exactly where the labels show it; the nearest is the brightest in depth."""
    for sample in scenes[::3]:
        frames = decode(sample.video, SHAPES).astype(float)
        depth = make_control("depth", sample, SHAPES, frames.astype(np.uint8)).astype(float)[..., 0]
        seg = make_control("seg", sample, SHAPES, frames.astype(np.uint8)).astype(float)
        nearness = []
        named = sample.caption.lower().split(". ")[0].replace(",", "").split()
        colours = [demo.render.COLOURS[word] for word in named if word in demo.render.COLOURS]
        for colour, label in zip(colours, ((255, 70, 70), (70, 255, 70), (70, 70, 255)), strict=False):
            where = np.abs(seg - np.asarray(label)).max(axis=-1) < 60
            if where[0].sum() < 20:
                continue  # out of sight
            assert np.abs(np.median(frames[where], axis=0) - colour).max() < 25, sample.caption
            nearness.append(np.median(depth[where]))
        assert nearness == sorted(nearness, reverse=True)
        wall = seg.max(axis=-1) < 30
        if nearness and wall.any():
            assert np.median(depth[wall]) < min(nearness) - 50


@pytest.mark.usefixtures("demos")
def test_demo_is_written_with_its_controls(tmp_path: Path) -> None:
    out = demo.write("shapes-control/fixed", tmp_path / "out")
    names = {path.name for path in (out / "videos").iterdir()}
    assert names == {path.name for path in (out / "depth").iterdir()} == {path.name for path in (out / "seg").iterdir()}
    assert json.loads((out / "captions" / "000.json").read_text())["caption"]
