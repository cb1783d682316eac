"""Video files and sources made on the spot, and a cache folder of each test's own."""

import json
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from posttrain.data import ClipSpec

GREY_STEP = 4  # frame i is grey of this times i, so a picked frame can be told


def write_video(
    path: Path,
    times_s: Sequence[float],
    *,
    size: tuple[int, int] = (64, 48),
    codec: str = "libx264",
    seed: int | None = None,
) -> Path:
    """A video whose frame i is shown from `times_s[i]` on; grey of `GREY_STEP * i`, or noise of `seed`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    rng = np.random.default_rng(seed)
    with av.open(str(path), "w") as container:
        rate = round(1 / (times_s[1] - times_s[0]))
        # AVI knows no clock but the frame rate
        clock = rate if path.suffix == ".avi" else 1000
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.bit_rate = 4_000_000  # MPEG-4 would blur the greys at its default
        stream.codec_context.time_base = Fraction(1, clock)
        for index, time_s in enumerate(times_s):
            pixels = np.full((height, width, 3), GREY_STEP * index, np.uint8)
            if seed is not None:
                pixels = rng.integers(0, 255, pixels.shape, np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = round(time_s * clock), Fraction(1, clock)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def steady(num_frames: int, fps: float) -> list[float]:
    return [index / fps for index in range(num_frames)]


def write_source(root: Path, captions: dict[str, str | None], *, num_frames: int = 10) -> Path:
    """A folder of clips of different content at 8 fps; stem -> caption (None: none)."""
    for number, (stem, caption) in enumerate(captions.items()):
        write_video(root / "videos" / f"{stem}.mp4", steady(num_frames, 8), seed=number)
        if caption is not None:
            (root / "captions").mkdir(exist_ok=True)
            (root / "captions" / f"{stem}.json").write_text(json.dumps({"caption": caption}), encoding="utf-8")
    return root


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("POSTTRAIN_CACHE", str(folder))
    return folder


@pytest.fixture
def demos(shared_cache: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The session's cache in place of the test's own: a demo set is rendered there once for all tests."""
    monkeypatch.setenv("POSTTRAIN_CACHE", str(shared_cache))
    return shared_cache


@pytest.fixture
def spec() -> ClipSpec:
    return ClipSpec(frames=9, height=32, width=32, fps=8.0)


@pytest.fixture
def make_video() -> Callable[..., Path]:
    return write_video


@pytest.fixture
def make_source() -> Callable[..., Path]:
    return write_source
