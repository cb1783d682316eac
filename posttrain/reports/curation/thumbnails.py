"""Samples as small pictures that lie inside the page: three frames of a clip side by side, the pictures of a row."""

import base64
import io
from collections.abc import Callable, Iterable
from contextlib import closing
from typing import Any

import numpy as np
from PIL import Image

from posttrain.data import ClipSpec, Row, RowSpec, Sample, UnusableClip, decode, open_picture, sample_video
from posttrain.data.decode import Frames
from posttrain.data.workers import read_files

# Pixels. Three frames of a noisy 16:9 clip then take 12 kB at most, so 250 of them stay below 5 MB of HTML.
_HEIGHT = 72
_WIDEST = 128
_QUALITY = 60
_FRAMES = 3


def thumbnails(
    samples: Iterable[Sample | Row], spec: ClipSpec | RowSpec, on_progress: Callable[[int, int], None] | None = None
) -> dict[tuple[str, float], str]:
    """`picture_key` -> a JPEG in a data URI; a sample that shows nothing, or that broke since, is left out."""
    wanted = list({picture_key(sample): sample for sample in samples}.values())
    found: dict[tuple[str, float], str] = {}
    with closing(read_files(_strip, [(sample, spec) for sample in wanted])) as strips:
        for done, (sample, strip) in enumerate(zip(wanted, strips, strict=True), 1):
            if strip is not None:
                found[picture_key(sample)] = strip
            if on_progress:
                on_progress(done, len(wanted))
    return found


def picture_key(sample: Sample | Row) -> tuple[str, float]:
    """What a thumbnail depends on."""
    return sample.content_hash, sample.start_s


def _strip(sample: Sample | Row, spec: ClipSpec | RowSpec) -> str | None:
    try:
        pictures = _pictures(sample, spec)
    except UnusableClip:
        return None
    if not pictures:
        return None
    strip = np.concatenate([np.asarray(picture) for picture in pictures], axis=1)
    file = io.BytesIO()
    Image.fromarray(strip).save(file, "JPEG", quality=_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def _pictures(sample: Sample | Row, spec: ClipSpec | RowSpec) -> list[Any]:
    if isinstance(sample, Sample):
        assert isinstance(spec, ClipSpec)
        return list(decode(sample.video, _thumbnail_spec(spec), sample.start_s))
    if sample.video is not None:
        frames_THWC, _ = sample_video(sample.video, RowSpec(max_frames=_FRAMES))
        return [_shrink(Image.fromarray(frame_HWC)) for frame_HWC in frames_THWC]
    return [_shrink(open_picture(path)) for path in sample.images[:_FRAMES]]


def _thumbnail_spec(spec: ClipSpec) -> ClipSpec:
    """The first, the middle and the last frame of what the model sees, in its aspect."""
    width = max(1, min(_WIDEST, round(_HEIGHT * spec.width / spec.height)))
    if spec.frames < _FRAMES:
        return ClipSpec(spec.frames, _HEIGHT, width, spec.fps)
    return ClipSpec(_FRAMES, _HEIGHT, width, spec.fps * (_FRAMES - 1) / (spec.frames - 1))


def _shrink(picture: Image.Image) -> Frames:
    """At the height of all thumbnails; what is wider than it may be is cut at its sides."""
    width = max(1, round(picture.width * _HEIGHT / picture.height))
    small = picture.resize((width, _HEIGHT), Image.Resampling.BICUBIC)
    left = max(0, (width - _WIDEST) // 2)
    return np.asarray(small.crop((left, 0, left + min(width, _WIDEST), _HEIGHT)))
