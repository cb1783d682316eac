"""Transforms on real pixels: the demo set's clips, and clips whose frames carry their number."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from posttrain.data import ClipSpec, Sample, UnusableClip, demo
from posttrain.data.controls import identity, make_control
from posttrain.data.decode import Cut, decode
from posttrain.data.sample import ControlFile
from posttrain.data.transform import PLAIN, Colour, Transform, decode_with, mirror, recolour, reverse
from tests.data.conftest import GREY_STEP, steady, write_video

SPEC = ClipSpec(frames=5, height=48, width=64, fps=8.0)
COLOUR = Colour(brightness=1.1, contrast=0.9, saturation=1.2, hue=5.0)
TRANSFORMS = [
    PLAIN,
    Transform(flip=True),
    Transform(reverse=True),
    Transform(pace=2.0),
    Transform(pace=0.5),
    Transform(cut=Cut(0.8, 0.0, 0.0)),
    Transform(cut=Cut(0.8, 1.0, 0.0)),
    Transform(cut=Cut(0.6, 0.5, 0.5)),
    Transform(colour=COLOUR),
    Transform(colour=replace(COLOUR, hue=-5.0)),
    Transform(flip=True, cut=Cut(0.8, 0.0, 0.0)),
    Transform(flip=True, reverse=True, pace=2.0, colour=COLOUR),
]


@pytest.fixture(scope="module")
def moving(shared_cache: Path) -> Sample:
    """A real clip of the demo set, in which something moves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POSTTRAIN_CACHE", str(shared_cache))
        folder = demo.resolve("shapes-control/fixed")
    controls = {name: ControlFile(folder / name / "000.mp4", name) for name in ("depth", "seg")}
    return Sample("s", "s", folder / "videos" / "000.mp4", 0.0, "a ball", {}, "hash", controls)


def numbered(path: Path, num_frames: int = 40) -> Sample:
    return Sample("n", "n", write_video(path, steady(num_frames, 8), size=(64, 48)), 0.0, "grey", {}, "grey")


def numbers(frames: np.ndarray) -> list[int]:
    """Which frames of `numbered` these are."""
    return [round(float(frame.mean()) / GREY_STEP) for frame in frames]


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        (PLAIN, [0, 1, 2, 3, 4]),
        (Transform(pace=2.0), [0, 2, 4, 6, 8]),
        (Transform(pace=3.0), [0, 3, 6, 9, 12]),
        (Transform(pace=0.5), [0, 0, 1, 1, 2]),  # between two frames the earlier one
        (Transform(pace=1.25), [0, 1, 2, 4, 5]),
        (Transform(reverse=True), [4, 3, 2, 1, 0]),
        (Transform(pace=2.0, reverse=True), [8, 6, 4, 2, 0]),
        (Transform(flip=True, cut=Cut(0.7)), [0, 1, 2, 3, 4]),
    ],
    ids=lambda value: getattr(value, "key", ""),
)
def test_the_right_frames_are_picked(tmp_path: Path, transform: Transform, expected: list[int]) -> None:
    assert numbers(decode_with(numbered(tmp_path / "n.mp4"), SPEC, transform)) == expected


def test_a_window_later_in_the_file_keeps_its_beginning(tmp_path: Path) -> None:
    late = replace(numbered(tmp_path / "n.mp4"), start_s=1.0)
    assert numbers(decode_with(late, SPEC, Transform(pace=2.0))) == [8, 10, 12, 14, 16]


def test_a_video_that_is_too_short_for_the_pace_is_refused(tmp_path: Path) -> None:
    short = numbered(tmp_path / "n.mp4", num_frames=8)
    assert numbers(decode_with(short, SPEC, Transform(pace=1.5))) == [0, 1, 3, 4, 6]
    with pytest.raises(UnusableClip, match=r"too short: 1\.00 s of 1\.25 s"):
        decode_with(short, SPEC, Transform(pace=2.0))


def test_twice_is_as_before(moving: Sample) -> None:
    frames = decode_with(moving, SPEC)
    assert np.array_equal(frames, decode(moving.video, SPEC))
    for undo in (mirror, reverse):
        assert not np.array_equal(undo(frames), frames)
        assert np.array_equal(undo(undo(frames)), frames)
    assert np.array_equal(mirror(frames)[:, :, 0], frames[:, :, -1])


def test_a_cut_is_the_part_it_says(tmp_path: Path, moving: Sample) -> None:
    """With a cut of half the picture nothing is scaled: it is a crop of the picture of twice the size."""
    large = decode(moving.video, replace(SPEC, height=96, width=128))
    for x, y in itertools.product((0.0, 0.25, 1.0), (0.0, 1.0)):
        left, top = int(x * 64), int(y * 48)
        part = decode_with(moving, SPEC, Transform(cut=Cut(0.5, x, y))).astype(int)
        # both are scaled from the same small file, by the same factor
        assert np.abs(part - large[:, top : top + 48, left : left + 64]).max() <= 40
        assert np.abs(part - large[:, top : top + 48, left : left + 64]).mean() < 1


@pytest.mark.parametrize("size", [(64, 48), (100, 48), (64, 90)])
def test_a_cut_stays_inside_the_picture_and_keeps_the_aspect(tmp_path: Path, size: tuple[int, int]) -> None:
    """A ramp from left to right and one from top to bottom tell where each pixel comes from."""
    from PIL import Image

    width, height = size
    ramp = np.zeros((height, width, 3), np.uint8)
    ramp[..., 0] = np.linspace(0, 255, width)[None]
    ramp[..., 1] = np.linspace(0, 255, height)[:, None]
    path = tmp_path / "ramp.png"
    Image.fromarray(ramp).save(path)
    one = replace(SPEC, frames=1)
    whole = decode(path, one)[0].astype(float)
    for cut in (Cut(0.5, 0, 0), Cut(0.5, 1, 1), Cut(0.75, 0.3, 0.9)):
        part = decode(path, one, cut=cut)[0].astype(float)
        for channel, axis in ((0, 1), (1, 0)):
            steps = np.diff(part[..., channel].mean(axis=1 - axis)).mean()
            assert steps == pytest.approx(cut.scale * np.diff(whole[..., channel].mean(axis=1 - axis)).mean(), rel=0.06)
            assert part[..., channel].min() >= whole[..., channel].min() - 3
            assert part[..., channel].max() <= whole[..., channel].max() + 3


def test_colour_is_the_same_for_all_frames(moving: Sample) -> None:
    frames = decode_with(moving, SPEC)
    coloured = recolour(frames, COLOUR)
    assert not np.array_equal(coloured, frames)
    for frame, expected in zip(frames, coloured, strict=True):
        assert np.array_equal(recolour(frame[None], COLOUR)[0], expected)
    assert np.array_equal(recolour(frames, Colour()), frames)


def test_each_factor_of_colour_does_what_it_says() -> None:
    grey = np.full((1, 2, 2, 3), 100, np.uint8)
    red = np.zeros((1, 1, 1, 3), np.uint8) + np.array([200, 50, 50], np.uint8)
    assert (recolour(grey, Colour(brightness=1.2)) == 120).all()
    assert (recolour(grey, Colour(contrast=0.5)) == 114).all()  # half the way to 127.5
    assert (recolour(grey, Colour(saturation=0.5, hue=15.0)) == 100).all()
    assert (recolour(red, Colour(saturation=0.0)) == 95).all()  # 0.299 * 200 + 0.701 * 50
    turned = recolour(red, Colour(hue=15.0))[0, 0, 0].astype(int)
    back = recolour(red, Colour(hue=-15.0))[0, 0, 0].astype(int)
    assert turned[1] > turned[2]  # towards yellow
    assert back[2] > back[1]  # towards magenta
    assert turned.sum() == pytest.approx(300, abs=2)


def test_keys_are_equal_where_pixels_are(moving: Sample) -> None:
    assert PLAIN.key == ""
    assert len({transform.key for transform in TRANSFORMS}) == len(TRANSFORMS)
    pixels = [decode_with(moving, SPEC, transform) for transform in TRANSFORMS]
    for one, other in itertools.combinations(pixels, 2):
        assert not np.array_equal(one, other)
    assert np.array_equal(decode_with(moving, SPEC, replace(TRANSFORMS[-1])), pixels[-1])


def test_controls_go_with_the_clip_and_colours_stay_with_it(moving: Sample) -> None:
    whole = Transform(flip=True, cut=Cut(0.8, 0.2, 0.1), pace=2.0, reverse=True, colour=COLOUR)
    frames = decode_with(moving, SPEC, whole)
    for name in ("depth", "seg"):
        control = make_control(name, moving, SPEC, frames, whole)
        plain = decode(moving.controls[name].path, SPEC, pace=2.0, cut=whole.cut)
        assert np.array_equal(control, reverse(mirror(plain)))
        assert identity(name, moving, whole) == identity(name, moving, whole.geometry) != identity(name, moving)
        assert identity(name, moving, Transform(colour=COLOUR)) == identity(name, moving) == f"{name}:0.0"
    for name in ("edge", "blur"):
        assert identity(name, moving, whole) != identity(name, moving, whole.geometry)
        assert np.array_equal(make_control(name, moving, SPEC, frames, whole), make_control(name, moving, SPEC, frames))
    edges = make_control("edge", moving, SPEC, decode_with(moving, SPEC, Transform(flip=True)), Transform(flip=True))
    mirrored = mirror(make_control("edge", moving, SPEC, decode_with(moving, SPEC)))
    assert (edges != mirrored).mean() < 0.03  # Canny's ties fall to one side
