"""The built-in sets: real files, captions that tell clips apart, safe to build twice at once."""

import json
import multiprocessing
import os
import signal
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from posttrain.data import ClipSpec, decode, demo
from posttrain.data.demo import general, physics, shapes, shapes_control
from posttrain.errors import DataError, EnvironmentFault


@pytest.mark.usefixtures("demos")
@pytest.mark.parametrize(
    ("name", "count"),
    [
        *((f"shapes/{f}", shapes.CLIPS_PER_FOLDER) for f in shapes.folders()),
        ("general", 96),
        ("shapes-broken", shapes.CLIPS_PER_FOLDER),
    ],
)
def test_a_folder_is_whole_and_its_captions_differ(name: str, count: int) -> None:
    folder = demo.resolve(name)
    videos = sorted((folder / "videos").iterdir())
    captions = [json.loads((folder / "captions" / f"{video.stem}.json").read_text())["caption"] for video in videos]
    assert len(videos) == len(set(captions)) == count
    assert max(len(caption.split()) for caption in captions) < 40
    for video in videos[:6]:
        frames_THWC = decode(video, ClipSpec(17, 64, 64, 8.0)).astype(float)
        assert np.abs(np.diff(frames_THWC, axis=0)).mean() > 0.02 or "still" in captions[videos.index(video)]


@pytest.mark.usefixtures("demos")
def test_low_quality_is_seen_in_the_pixels() -> None:
    """Noise moves where nothing else does: the box's corner under a fixed camera."""

    def flicker(folder: str) -> float:
        videos = sorted((demo.resolve(folder) / "videos").iterdir())[:8]
        corners = [decode(video, ClipSpec(17, 64, 64, 8.0))[:, :3, :3].astype(float) for video in videos]
        return float(np.mean([np.abs(np.diff(corner, axis=0)).mean() for corner in corners]))

    assert flicker("shapes/fixed-low") > 5 * flicker("shapes/fixed-high")


@pytest.mark.usefixtures("demos")
def test_a_broken_clip_jumps_between_picture_and_negative() -> None:
    for video in sorted((demo.resolve("shapes-broken") / "videos").iterdir())[:8]:
        frames_THWC = decode(video, ClipSpec(17, 64, 64, 8.0)).astype(float)
        turned = np.abs(frames_THWC[:-1] + frames_THWC[1:] - 255).mean()
        assert turned < 0.3 * np.abs(np.diff(frames_THWC, axis=0)).mean()


@pytest.mark.usefixtures("demos")
def test_the_caption_names_what_is_seen() -> None:
    """A body's colour is on the first frame wherever the caption names it."""
    folder = demo.resolve("shapes/fixed-high")
    for video in sorted((folder / "videos").iterdir()):
        caption = json.loads((folder / "captions" / f"{video.stem}.json").read_text())["caption"]
        frame = decode(video, ClipSpec(2, 64, 64, 8.0))[0].astype(float)
        for name, colour in demo.render.COLOURS.items():
            near = np.abs(frame - np.asarray(colour)).max(axis=-1) < 40
            if f" {name} " in caption:
                assert near.sum() > 60, (caption, name)


def test_the_same_version_renders_the_same_bytes(
    cache: Path, shared_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first clips, two of each kind."""
    monkeypatch.setattr(general, "NUM_CLIPS", 2 * len(general._KINDS))
    again = sorted((demo.resolve("general") / "videos").iterdir())
    assert again[0].is_relative_to(cache)
    assert len(again) == general.NUM_CLIPS
    monkeypatch.undo()
    monkeypatch.setenv("POSTTRAIN_CACHE", str(shared_cache))
    whole = demo.resolve("general") / "videos"
    for video in again:
        assert video.read_bytes() == (whole / video.name).read_bytes()


def test_only_the_folder_that_is_asked_for_is_rendered(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes_control, "CLIPS_PER_FOLDER", 2)
    part = demo.resolve("shapes-control/tracking")
    assert [path.name for path in part.parent.iterdir()] == ["tracking"]
    written = part.stat().st_mtime_ns
    whole = demo.resolve("shapes-control")
    assert sorted(path.name for path in whole.iterdir()) == ["fixed", "tracking", "zooming"]
    assert part == whole / "tracking"
    assert part.stat().st_mtime_ns == written
    assert [path for path in whole.parent.iterdir() if path != whole] == []


def test_a_renderer_is_named_by_its_code_alone() -> None:
    source = '"""Doc."""\n\nSIZE = 64  # pixels\n\n\ndef area(n: int) -> int:\n    """Square."""\n    return n * SIZE\n'
    other = 'SIZE = 64\ndef area(n: int) -> int:\n    "Another text."\n    return (n\n        * SIZE)\n'
    assert demo.code_of(source) == demo.code_of(other)
    for before, after in [("64", "65"), ("n * SIZE", "SIZE * n"), ("n: int", "n: int = 2")]:
        assert demo.code_of(source) != demo.code_of(source.replace(before, after))


def test_a_body_is_painted_as_on_the_whole_picture() -> None:
    """Only the pixels around it are touched, wherever it is: inside, across the edge, outside."""
    for x, y, shape in [(0.5, 0.5, "disc"), (0.0, 0.93, "square"), (-0.2, 0.5, "disc"), (7.0, 0.5, "disc")]:
        body = physics.Body(shape, 0.21, x, y, 0.0, 0.0)
        camera = demo.render.Camera(0.5, 0.5, 0.95)
        scene = shapes.Scene(1.0, "navy", "olive", [body], ["red"], ["falling"])
        expected = shapes.draw(shapes.Scene(1.0, "navy", "olive", [], [], []), camera)
        distance = shapes.outline(body, *camera.grid())
        demo.render.paint(expected, distance, demo.render.COLOURS["red"], camera.pixel)
        assert np.array_equal(shapes.draw(scene, camera), expected)


def test_bodies_stay_in_the_box_and_apart_and_gain_no_energy() -> None:
    for seed in range(20):
        scene = shapes.draw_scene(np.random.default_rng(seed), "fixed")
        energies = []
        for _ in range(17):
            energies.append(sum(b.mass * (0.5 * (b.vx**2 + b.vy**2) + physics.GRAVITY * b.y) for b in scene.bodies))
            physics.advance(scene.bodies, scene.width, 1 / 8)
            for index, body in enumerate(scene.bodies):
                assert body.size - 1e-6 <= body.x <= scene.width - body.size + 1e-6
                assert body.size - 1e-6 <= body.y <= 1 - body.size + 1e-6
                for other in scene.bodies[index + 1 :]:
                    assert physics.contact(body, other)[0] < 0.05
        assert all(later < earlier * 1.02 for earlier, later in pairwise(energies))


def test_two_discs_swap_their_speeds() -> None:
    a = physics.Body("disc", 0.1, 0.3, 0.5, 1.0, 0.0)
    b = physics.Body("disc", 0.1, 0.6, 0.5, 0.0, 0.0)
    physics.advance([a, b], 1.0, 0.15)
    assert a.vx == pytest.approx((1 - physics.BOUNCE) / 2)
    assert b.vx == pytest.approx((1 + physics.BOUNCE) / 2)


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(DataError, match=r"no demo set 'shapes/fixed-hihg'; did you mean demo:shapes/fixed-high\?"):
        demo.resolve("shapes/fixed-hihg")
    with pytest.raises(DataError, match="there is shapes"):
        demo.resolve("../../etc")


@pytest.mark.usefixtures("demos")
def test_write_copies_a_set_into_a_new_folder(tmp_path: Path) -> None:
    out = demo.write("shapes/fixed-high", tmp_path / "a b" / "out")
    assert len(list((out / "videos").iterdir())) == shapes.CLIPS_PER_FOLDER
    with pytest.raises(DataError, match="is not an empty folder"):
        demo.write("general", out)
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="is not an empty folder"):
        demo.write("general", tmp_path / "file")
    with pytest.raises(EnvironmentFault, match="name another folder"):
        demo.write("general", tmp_path / "file" / "below")


def test_a_cache_that_cannot_be_written(cache: Path) -> None:
    cache.write_text("a file in the way")
    with pytest.raises(EnvironmentFault, match="POSTTRAIN_CACHE"):
        demo.resolve("general")


def _build_general(num_clips: int) -> None:
    general.NUM_CLIPS = num_clips
    demo.resolve("general")


def test_two_processes_build_the_same_set_at_once(cache: Path) -> None:
    context = multiprocessing.get_context("spawn")
    builders = [context.Process(target=_build_general, args=(24,)) for _ in range(2)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join(60)
        assert builder.exitcode == 0
    (built_folder,) = (cache / "demo").iterdir()
    assert built_folder == demo.resolve("general")
    assert len(list((built_folder / "videos").iterdir())) == 24


def test_a_builder_that_is_killed_leaves_nothing_half_done(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = multiprocessing.get_context("spawn")
    builder = context.Process(target=_build_general, args=(general.NUM_CLIPS,))
    builder.start()
    assert builder.pid is not None
    deadline = time.monotonic() + 60
    while not list((cache / "demo").glob(".*/videos/*")) and builder.is_alive() and time.monotonic() < deadline:
        time.sleep(0.002)
    os.kill(builder.pid, signal.SIGKILL)
    builder.join(60)
    left = list((cache / "demo").iterdir())
    assert [entry.name[0] for entry in left] == ["."], "a half-built set may not bear the name of a whole one"
    os.utime(left[0], (0, 0))
    monkeypatch.setattr(general, "NUM_CLIPS", 8)
    assert len(list((demo.resolve("general") / "videos").iterdir())) == 8
    assert not left[0].exists(), "what a killed builder left is cleared away"
