"""Decoding: the right frames, the right cut, and a stable reason for what cannot be read."""

import pickle
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from posttrain.data import ClipSpec, UnusableClip, decode, probe
from posttrain.data.decode import check_window, fit

GREY_STEP = 4
MakeVideo = Callable[..., Path]


def picked(frames_THWC: np.ndarray) -> list[int]:
    """Which frame of the file each frame is, told from its grey."""
    return [round(float(frame.mean()) / GREY_STEP) for frame in frames_THWC]


def nearest(times_s: list[float], spec: ClipSpec, start_s: float) -> list[int]:
    wanted = [start_s + index / spec.fps for index in range(spec.frames)]
    return [min(range(len(times_s)), key=lambda k: (round(abs(times_s[k] - at), 6), k)) for at in wanted]


@pytest.mark.parametrize("source_fps", [4, 8, 10, 12.5, 16, 24, 25, 30])
@pytest.mark.parametrize("fps", [8.0, 10.0, 16.0])
def test_each_wanted_time_gets_the_nearest_frame(
    tmp_path: Path, make_video: MakeVideo, source_fps: float, fps: float
) -> None:
    spec = ClipSpec(9, 16, 16, fps)
    times_s = [index / source_fps for index in range(int(1.9 * source_fps))]
    video = make_video(tmp_path / "a.mp4", times_s)
    assert picked(decode(video, spec)) == nearest(times_s, spec, 0.0)
    assert picked(decode(video, spec, 0.5)) == nearest(times_s, spec, 0.5)


def test_frames_at_uneven_times(tmp_path: Path, make_video: MakeVideo) -> None:
    times_s = [0.0, 0.05, 0.06, 0.3, 0.31, 0.5, 0.9, 1.0, 1.4, 1.5]
    spec = ClipSpec(9, 16, 16, 8.0)
    video = make_video(tmp_path / "a.mkv", times_s)
    assert picked(decode(video, spec, 0.2)) == nearest(times_s, spec, 0.2)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm", "a.avi", "a.mov"])
def test_every_container_is_read_alike_with_and_without_a_seek(
    tmp_path: Path, make_video: MakeVideo, name: str
) -> None:
    codec = {"a.webm": "libvpx-vp9", "a.avi": "mpeg4"}.get(name, "libx264")
    times_s = [index / 10 for index in range(60)]
    video = make_video(tmp_path / name, times_s, codec=codec)
    spec = ClipSpec(5, 16, 16, 10.0)
    info = probe(video)
    assert (info.num_frames, info.width, info.height) == (60, 64, 48)
    assert info.duration_s == pytest.approx(6.0, abs=0.02)
    assert info.fps == pytest.approx(10, rel=0.01)
    for start_s in (0.0, 1.9, 2.1, 4.0, 5.5):
        assert picked(decode(video, spec, start_s)) == list(range(round(start_s * 10), round(start_s * 10) + 5))


def test_a_clip_exactly_as_long_as_needed_and_one_frame_less(tmp_path: Path, make_video: MakeVideo) -> None:
    spec = ClipSpec(9, 16, 16, 8.0)
    enough = make_video(tmp_path / "a.mp4", [index / 8 for index in range(9)])
    assert picked(decode(enough, spec)) == list(range(9))
    less = make_video(tmp_path / "b.mp4", [index / 8 for index in range(8)])
    for read in (decode, check_window):
        with pytest.raises(UnusableClip, match=r"too short: 1\.00 s of 1\.12 s"):
            read(less, spec)


@pytest.mark.parametrize(("width", "height"), [(64, 48), (48, 64), (200, 40), (34, 100), (16, 16), (33, 33)])
def test_pictures_of_any_size_are_covered_and_cut_at_the_centre(width: int, height: int) -> None:
    spec = ClipSpec(1, 32, 48, 8.0)
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    picture = np.stack([255 * (x + 0.5) / width, 255 * (y + 0.5) / height, 0 * x], axis=-1).astype(np.uint8)
    result = fit(picture, 1.0, spec).astype(float)
    assert result.shape == (32, 48, 3)
    scale = max(48 / width, 32 / height)
    span_x, span_y = 255 * 48 / scale / width, 255 * 32 / scale / height
    # a linear ramp survives scaling; the cut shows its middle, and as much of it as fits
    assert result[..., 0].mean() == pytest.approx(127.5, abs=5)
    assert result[..., 1].mean() == pytest.approx(127.5, abs=5)
    assert result[0, -1, 0] - result[0, 0, 0] == pytest.approx(span_x, abs=12)
    assert result[-1, 0, 1] - result[0, 0, 1] == pytest.approx(span_y, abs=12)


def test_a_picture_of_the_right_size_is_left_alone() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (32, 60, 3), np.uint8)
    assert np.array_equal(fit(picture, 1.0, ClipSpec(1, 32, 48, 8.0)), picture[:, 6:54])


def test_wide_pixels_are_shown_wide() -> None:
    """Pixels twice as wide as high: the same as the picture drawn with every column twice."""
    picture = np.random.default_rng(0).integers(0, 255, (8, 12, 3), np.uint8)
    picture = np.asarray(Image.fromarray(picture).resize((48, 64)))
    spec = ClipSpec(1, 32, 32, 8.0)
    doubled = np.repeat(picture, 2, axis=1)
    difference = fit(picture, 2.0, spec).astype(float) - fit(doubled, 1.0, spec)
    assert np.abs(difference).mean() < 3


def test_a_turned_video_is_shown_upright(tmp_path: Path) -> None:
    upright = np.zeros((64, 64, 3), np.uint8)
    upright[:32] = 255  # white above
    for rotation in (0, 90, 180, -90):
        video = tmp_path / f"{rotation}.mp4"
        with av.open(str(video), "w") as container:
            stream = container.add_stream("libx264", rate=8)
            stream.width = stream.height = 64
            stream.pix_fmt = "yuv420p"
            stream.set_display_rotation(rotation)
            for _ in range(3):
                stored = np.ascontiguousarray(np.rot90(upright, -rotation // 90))
                container.mux(stream.encode(av.VideoFrame.from_ndarray(stored, format="rgb24")))
            container.mux(stream.encode())
        frame = decode(video, ClipSpec(2, 16, 16, 8.0))[0]
        assert frame[:7].mean() > 240, rotation
        assert frame[9:].mean() < 15, rotation


def test_reasons_of_unreadable_files(tmp_path: Path, make_video: MakeVideo) -> None:
    spec = ClipSpec(9, 16, 16, 8.0)
    whole = make_video(tmp_path / "whole.mkv", [index / 8 for index in range(30)], seed=1)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 5])
    headless = tmp_path / "headless.mp4"
    mp4 = make_video(tmp_path / "whole.mp4", [index / 8 for index in range(30)], seed=1)
    headless.write_bytes(mp4.read_bytes()[: mp4.stat().st_size // 2])
    empty, text = tmp_path / "empty.mp4", tmp_path / "text.mp4"
    empty.touch()
    text.write_text("not a video " * 100)
    for video, reason in [
        (empty, "0 bytes"),
        (text, "unreadable: Invalid data"),
        (headless, "unreadable: Invalid data"),
        (cut, "too short: "),
        (tmp_path / "missing.mp4", "unreadable: No such file"),
        (tmp_path, "unreadable: "),
    ]:
        with pytest.raises(UnusableClip) as caught:
            decode(video, spec)
        assert caught.value.reason.startswith(reason), video
        assert str(video) in caught.value.message


def test_damage_is_found_where_it_is_read_and_nowhere_else(tmp_path: Path, make_video: MakeVideo) -> None:
    video = make_video(tmp_path / "a.mp4", [index / 8 for index in range(60)], seed=1)
    content = bytearray(video.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 6000] = bytes(np.random.default_rng(0).integers(0, 255, 6000, np.uint8))
    video.write_bytes(content)
    spec = ClipSpec(9, 16, 16, 8.0)
    decode(video, spec, 0.0)
    with pytest.raises(UnusableClip, match="unreadable"):
        check_window(video, spec, 3.5)


def test_a_file_with_sound_alone_and_a_playlist_are_no_video(tmp_path: Path, make_video: MakeVideo) -> None:
    spec = ClipSpec(2, 16, 16, 8.0)
    sound = tmp_path / "sound.mp4"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        stream.layout = "mono"
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 8000
        container.mux(stream.encode(silence))
        container.mux(stream.encode())
    with pytest.raises(UnusableClip, match="unreadable: no video stream"):
        decode(sound, spec)
    # a playlist must not make us open another file
    other = make_video(tmp_path / "other.mp4", [index / 8 for index in range(9)])
    playlist = tmp_path / "playlist.mp4"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{other}\n#EXT-X-ENDLIST\n")
    with pytest.raises(UnusableClip, match="unreadable"):
        decode(playlist, spec)


def test_names_that_look_like_protocols_are_files(
    tmp_path: Path, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_video(tmp_path / "x.mp4", [index / 8 for index in range(9)]).rename("pipe:0 'a\" %03d.mp4")
    assert decode(Path("pipe:0 'a\" %03d.mp4"), ClipSpec(9, 16, 16, 8.0)).shape == (9, 16, 16, 3)


def test_the_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(UnusableClip("too short: 1 s of 2 s", Path("a.mp4"))))
    assert (error.reason, error.video, str(error)) == (
        "too short: 1 s of 2 s",
        Path("a.mp4"),
        "a.mp4: too short: 1 s of 2 s",
    )
