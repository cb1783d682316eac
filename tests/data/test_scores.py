"""Scores: what they say of pictures that are known, and that the cache holds what a look at the file gives."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from posttrain.data import ClipSpec
from posttrain.data.decode import check_window, decode
from posttrain.data.scores import Meter, brightness, contrast, cuts, grey, motion, shake, sharpness, shrink
from posttrain.data.signature import read_signatures, signature
from posttrain.data.verdicts import judge, judge_all
from tests.data import planted

SPEC = ClipSpec(frames=9, height=32, width=32, fps=8.0)
TIMES = [index / 8 for index in range(planted.NUM_FRAMES)]


def scene(height: int, width: int) -> np.ndarray:
    return planted.background(3, height, width)


def shaken(frames: np.ndarray, times_s: list[float] | None = None) -> float:
    return shake(grey(frames), times_s or TIMES[: len(frames)])


def test_brightness_and_contrast_are_shares_of_white() -> None:
    flat = np.full((2, 8, 8, 3), 51, np.uint8)
    assert brightness(flat) == pytest.approx(0.2, abs=1e-6)
    assert contrast(flat) == 0
    halves = flat.copy()
    halves[:, :, 4:] = 255
    assert brightness(halves) == pytest.approx(0.6, abs=1e-6)
    assert contrast(halves) == pytest.approx(0.4, abs=1e-6)


def test_contrast_of_colours_that_are_equally_grey_is_contrast() -> None:
    assert contrast(planted.equally_grey(1)) > 0.05
    assert grey(planted.equally_grey(1)).std() < 0.01


@pytest.mark.parametrize("side", [256, 512, 1080])
def test_sharpness_means_the_same_at_every_resolution(side: int) -> None:
    sharp = cv2.resize(scene(256, 384), (side * 3 // 2, side), interpolation=cv2.INTER_CUBIC)
    at_canonical_size = sharpness(scene(256, 384))
    assert sharpness(shrink(sharp, 256)) == pytest.approx(at_canonical_size, rel=0.25)
    blurred = cv2.GaussianBlur(sharp, (0, 0), side / 256 * 6)
    assert sharpness(shrink(blurred, 256)) < at_canonical_size / 50


def test_the_dark_is_not_blurred() -> None:
    bright = scene(256, 384)
    assert sharpness((bright * 0.1).astype(np.uint8)) > 10
    assert sharpness((cv2.GaussianBlur(bright, (0, 0), 5) * 0.1).astype(np.uint8)) < 10
    assert sharpness(np.zeros((64, 64, 3), np.uint8)) == 0


def test_small_pictures_are_never_enlarged() -> None:
    small = scene(40, 60)
    assert shrink(small, 256) is small
    assert shrink(scene(512, 300), 256).shape[:2] == (437, 256)


def test_motion_is_the_mean_difference_of_the_frames_that_a_model_reads() -> None:
    frames = np.zeros((3, 64, 64, 3), np.uint8)
    frames[1] = 51
    frames[2] = 102
    assert motion(frames, 3) == pytest.approx(0.2)
    assert motion(frames[:1], 9) == 0  # one picture for all of a slow file's frames


def test_motion_is_neither_a_codecs_beginning_anew_nor_missed_when_it_is_short() -> None:
    frozen = np.repeat(planted.moving(1)[:1], 17, axis=0)
    popped = np.concatenate([frozen[:12], np.clip(frozen[12:].astype(int) + 2, 0, 255).astype(np.uint8)])
    assert motion(frozen, 17) == motion(popped, 17) == 0
    event = frozen.copy()
    event[8:10] = planted.moving(1)[8:10]
    assert motion(event, 17) > 0.0005


def test_a_steady_pan_does_not_shake_and_a_trembling_hand_does() -> None:
    assert shaken(planted.panned(1, 0)) == pytest.approx(0, abs=1e-3)
    assert shaken(planted.panned(1, 5)) < 0.004
    tremble = [shaken(planted.panned(1, 0, jitter=jitter)) for jitter in (1.0, 3.0, 6.0)]
    assert 0.004 < tremble[0] < tremble[1] < tremble[2]


def test_a_pan_whose_frames_are_unevenly_spaced_does_not_shake() -> None:
    frames = planted.panned(2, 4)
    uneven = [0, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15]
    assert shaken(frames[uneven], [TIMES[index] for index in uneven]) < 0.004


def test_what_moves_before_a_fixed_camera_is_no_shaking() -> None:
    jumping = np.stack([frame if index % 2 else planted.moving(4)[0] for index, frame in enumerate(planted.moving(4))])
    assert shaken(jumping) < 0.002
    assert shaken(np.full((5, 96, 128, 3), 90, np.uint8)) == 0
    assert shaken(planted.moving(1)[:2]) == 0


def test_a_cut_is_where_the_scene_changes_and_stays() -> None:
    one, other = planted.moving(5), planted.panned(6, 3)
    assert cuts(np.concatenate([one[:7], other[7:]])) == [7]
    assert cuts(np.concatenate([one[:5], other[5:11], planted.moving(7)[11:]])) == [5, 11]
    assert cuts(one) == cuts(other) == cuts(one[:1]) == cuts(one[:2]) == []
    assert cuts(np.stack([one[0], other[0]])) == [1]


@pytest.mark.parametrize("at", [[0], [6], [16], [8, 9]])
def test_a_flash_is_no_cut(at: list[int]) -> None:
    assert cuts(planted.flashed(planted.moving(8), at)) == []
    white = planted.moving(8)
    white[6] = 255
    assert cuts(white) == []


def test_a_lamp_that_goes_on_and_a_fast_camera_are_no_cuts() -> None:
    assert cuts(planted.lit(planted.moving(9), 6)) == []
    assert cuts(planted.panned(10, 14)) == []
    assert cuts(planted.good_clips()["whip_pan"]) == []


def test_an_image_has_no_motion_no_cuts_and_no_shaking(tmp_path: Path) -> None:
    Image.fromarray(scene(96, 128)).save(tmp_path / "a.png")
    verdict = judge(tmp_path / "a.png", ClipSpec(1, 32, 32, 1.0), 1, measure=True)
    assert set(verdict.scores(0)) == {
        "duration_s", "frames", "height", "width", "brightness", "contrast", "sharpness",
    }  # fmt: skip
    assert (verdict.scores(0)["height"], verdict.scores(0)["width"]) == (96, 128)
    assert verdict.signature(0)


def test_scores_are_of_the_frames_that_the_model_reads_and_of_the_whole_file(tmp_path: Path) -> None:
    frames = np.concatenate([planted.moving(11), planted.moving(12)])
    planted.save(tmp_path, "a", frames)
    video = tmp_path / "videos" / "a.mp4"
    verdict = judge(video, ClipSpec(17, 96, 128, 8.0), 2, measure=True)
    assert verdict.facts == {"duration_s": 4.25, "frames": 34, "height": 96, "width": 128}
    for window, start_s in enumerate((0.0, 2.125)):
        meter = Meter(17)
        for index, frame in enumerate(decode(video, ClipSpec(17, 96, 128, 8.0), start_s)):
            meter.add(frame, index / 8)
        live = meter.result().scores
        assert verdict.scores(window) == pytest.approx(verdict.facts | live, rel=0.05, abs=1e-3)
        assert verdict.scores(window)["cuts"] == 0
    whole = judge(video, ClipSpec(34, 96, 128, 8.0), 1, measure=True)
    assert whole.scores(0)["cuts"] == 1


def test_looking_is_at_each_distinct_frame_once(tmp_path: Path) -> None:
    planted.save(tmp_path, "a", planted.moving(1))  # 8 frames per second
    seen: list[float] = []
    size = check_window(tmp_path / "videos" / "a.mp4", ClipSpec(17, 32, 32, 16.0), 0.5, lambda _, at: seen.append(at))
    assert seen == pytest.approx([0.5 + index / 8 for index in range(9)])
    assert size == (96, 128)


def test_what_was_measured_is_remembered_for_those_who_ask_and_those_who_do_not(tmp_path: Path) -> None:
    planted.save(tmp_path, "a", planted.moving(1))
    video = tmp_path / "videos" / "a.mp4"
    (plain,) = judge_all(tmp_path, [video], SPEC, 1)
    assert plain.measured is None
    assert plain.scores(0) == {"duration_s": 2.125, "frames": 17, "height": 96, "width": 128}
    (fresh,) = judge_all(tmp_path, [video], SPEC, 1, measure=True)
    assert {"motion", "cuts", "shake"} <= set(fresh.scores(0))
    # the file is now rubbish of the same size and time: who reads it again would find out
    status = video.stat()
    video.write_bytes(b"\0" * status.st_size)
    os.utime(video, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert judge_all(tmp_path, [video], SPEC, 1, measure=True) == [fresh]
    assert judge_all(tmp_path, [video], SPEC, 1) == [plain]
    assert json.loads(json.dumps(fresh.scores(0))) == fresh.scores(0)


def test_signatures_tell_copies_from_other_events_of_one_camera() -> None:
    events = planted.fixed_camera()
    noisy = planted.noisy(events["fixed1"], 2.0)
    smaller = np.stack([cv2.resize(frame, (96, 72), interpolation=cv2.INTER_AREA) for frame in events["fixed1"]])
    found = read_signatures([signature(frames) for frames in (*events.values(), noisy, smaller)])
    first, copies = list(events).index("fixed1"), [len(events), len(events) + 1]
    every = np.arange(len(found.looks))
    looks = found.look_bits(slice(first, first + 1), every)[0]
    happens = sum(found.event_bits(part, np.full_like(every, first), every).astype(int) for part in range(4))
    assert (looks < 20).all()  # all of them show the same
    assert all(happens[copy] <= 12 for copy in copies)
    assert all(happens[other] > 40 for other in every if other != first and other not in copies)
    red, blue = (np.array([list(events).index(f"fixed_{name}")]) for name in ("red", "blue"))
    assert not found.same_thumbs(red, blue)[0]
    assert found.same_thumbs(np.array([first]), np.array([copies[0]]))[0]
