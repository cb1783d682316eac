"""Frame strips: what the model generated, under what really happened, as one picture.

Each row is a clip, time runs to the right. The picture goes to TensorBoard (`TrialBoard.image`) and, as a
PNG, into reports.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from posttrain.paths import write_atomic

SEPARATOR_PX = 2
SEPARATOR_GREY = 255
# Wide enough to see motion, small enough that an event file of many evaluations stays small.
MAX_FRAMES = 8

Clip = NDArray[np.uint8]


def strip(rows: Sequence[Clip], scale: int = 1, max_frames: int = MAX_FRAMES) -> NDArray[np.uint8]:
    """Return one uint8 picture [height, width, 3] of clips laid under each other, frames side by side.

    rows: clips [frames, height, width, 3], uint8, all of one shape; the true clip first, by convention.
    scale: each pixel becomes scale x scale pixels, so that tiny frames can be seen.
    max_frames: longer clips are shown by this many frames at even distances, the first and the last included.
    """
    first = rows[0]
    assert all(row.shape == first.shape and row.dtype == np.uint8 for row in rows), "rows must be uint8 of one shape"
    assert first.shape[3:] == (3,), "a row is a clip [frames, height, width, 3]"
    chosen = np.linspace(0, len(first) - 1, min(max_frames, len(first))).round().astype(int)
    lines = [_join([_enlarge(row[index], scale) for index in chosen], axis=1) for row in rows]
    return _join(lines, axis=0)


def save_png(image_HWC: NDArray[np.uint8], path: Path) -> None:
    """Write a picture as PNG, whole or not at all."""
    buffer = io.BytesIO()
    Image.fromarray(image_HWC).save(buffer, format="PNG")
    write_atomic(path, buffer.getvalue())


def _enlarge(frame_HWC: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    return frame_HWC.repeat(scale, axis=0).repeat(scale, axis=1)


def _join(parts: Sequence[NDArray[np.uint8]], axis: int) -> NDArray[np.uint8]:
    shape = list(parts[0].shape)
    shape[axis] = SEPARATOR_PX
    line = np.full(shape, SEPARATOR_GREY, dtype=np.uint8)
    between = [piece for part in parts[1:] for piece in (line, part)]
    return np.concatenate([parts[0], *between], axis=axis)
