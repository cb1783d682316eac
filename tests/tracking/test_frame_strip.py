"""Frame strips show the right frames in the right places."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from posttrain.tracking.strip import SEPARATOR_GREY, SEPARATOR_PX, save_png, strip


def _clip(frames: int, base: int, height: int = 4, width: int = 6) -> np.ndarray:
    """Frame t is all of the value base + t."""
    values = (base + np.arange(frames)).astype(np.uint8)
    return np.broadcast_to(values[:, None, None, None], (frames, height, width, 3)).copy()


def test_rows_are_under_each_other_and_frames_side_by_side() -> None:
    image = strip([_clip(3, 10), _clip(3, 100)])
    assert image.shape == (2 * 4 + SEPARATOR_PX, 3 * 6 + 2 * SEPARATOR_PX, 3)
    assert image.dtype == np.uint8
    step = 6 + SEPARATOR_PX
    assert [int(image[0, step * t, 0]) for t in range(3)] == [10, 11, 12]
    assert [int(image[-1, step * t, 0]) for t in range(3)] == [100, 101, 102]
    assert (image[4 : 4 + SEPARATOR_PX] == SEPARATOR_GREY).all()
    assert (image[:, 6 : 6 + SEPARATOR_PX] == SEPARATOR_GREY).all()


def test_pixels_are_enlarged_and_long_clips_thinned_out() -> None:
    image = strip([_clip(17, 0)], scale=3, max_frames=5)
    assert image.shape == (12, 5 * 18 + 4 * SEPARATOR_PX, 3)
    assert [int(image[0, (18 + SEPARATOR_PX) * t, 0]) for t in range(5)] == [0, 4, 8, 12, 16]


def test_unlike_rows_are_a_bug() -> None:
    with pytest.raises(AssertionError, match="one shape"):
        strip([_clip(3, 0), _clip(4, 0)])


def test_a_png_reads_back(tmp_path: Path) -> None:
    image = strip([_clip(2, 50)])
    save_png(image, tmp_path / "strip.png")
    assert (np.asarray(Image.open(tmp_path / "strip.png")) == image).all()
