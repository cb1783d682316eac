"""`demo:shapes-broken`: what a broken recorder makes of `demo:shapes/fixed-high`; a mixture should avoid it.

The frames are out of order, every second one is a negative, and each caption belongs to another clip. Every clip can be
read and is sharp, bright and moving, so filters keep it: only training tells that it teaches nothing.
"""

from collections.abc import Iterator

import numpy as np

from posttrain.data.demo import render, shapes
from posttrain.data.demo.shapes import Clip

QUALITY = 0.2
_SEED = 99
_SHIFT = 7  # clips between a caption and what it describes


def clips() -> Iterator[Clip]:
    """Renders the whole set; no two clips have the same caption."""
    rng = np.random.default_rng(_SEED)
    filmed: dict[str, render.Frames] = {}
    while len(filmed) < shapes.CLIPS_PER_FOLDER:
        scene = shapes.draw_scene(rng, "fixed")
        caption = shapes.describe(scene, "fixed")
        if caption not in filmed:
            filmed[caption] = _break(shapes.film(scene, "fixed"), rng)
    captions = list(filmed)
    for index, frames_THWC in enumerate(filmed.values()):
        caption = captions[(index + _SHIFT) % len(captions)]
        yield Clip(frames_THWC, caption, {"camera": "fixed", "quality": QUALITY}, crf=20)


def _break(frames_THWC: render.Frames, rng: np.random.Generator) -> render.Frames:
    broken = frames_THWC[rng.permutation(len(frames_THWC))]
    broken[1::2] = 255 - broken[1::2]
    return broken
