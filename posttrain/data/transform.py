"""What an augmentation does to the pixels of a clip: which frames are picked, how they are cut, mirrored and coloured.

    a sample --decode at a pace, in a cut--> frames --mirror, reverse, recolour--> what the codec encodes

A `Transform` is all of it as plain numbers; its key names what the pixels depend on. Controls are read through the same
transform but for colours, which say something else in a depth or a segmentation picture.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from posttrain.data.clip import ClipSpec
from posttrain.data.decode import WHOLE, Cut, Frames, decode
from posttrain.data.sample import Sample

# Rec. 601, as in torchvision's and Pillow's grey.
_GREY = np.array([0.299, 0.587, 0.114])
_MID_GREY = 127.5


@dataclass(frozen=True)
class Colour:
    """Factors of brightness, contrast and saturation, 1 as it is; `hue` turns the colour circle, in degrees."""

    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0


@dataclass(frozen=True)
class Transform:
    """What is done to a clip; the default does nothing.

    Attributes:
        pace: seconds of the video for each second of the clip: 2 takes every second frame of the model's grid.
        cut: the part of the picture that is read.
        flip: mirrors left and right.
        reverse: last frame first.
        colour: the same for all frames; None leaves the colours.
    """

    pace: float = 1.0
    cut: Cut = WHOLE
    flip: bool = False
    reverse: bool = False
    colour: Colour | None = None

    @property
    def key(self) -> str:
        """Names everything that the pixels depend on; "" for the plain clip."""
        parts = [
            f"pace {self.pace:g}" if self.pace != 1 else "",
            f"cut {self.cut.scale:g} {self.cut.x:g} {self.cut.y:g}" if self.cut != WHOLE else "",
            "flip" if self.flip else "",
            "reverse" if self.reverse else "",
            ""
            if self.colour is None
            else f"colour {self.colour.brightness:g} {self.colour.contrast:g} {self.colour.saturation:g} "
            f"{self.colour.hue:g}",
        ]
        return ", ".join(filter(None, parts))

    @property
    def geometry(self) -> "Transform":
        """Without the colours: what a control that is a file of its own is read through."""
        return replace(self, colour=None)


PLAIN = Transform()


def decode_with(sample: Sample, spec: ClipSpec, transform: Transform = PLAIN) -> Frames:
    """The sample's clip through `transform`, uint8 (T, H, W, 3).

    Raises:
        UnusableClip: unreadable, damaged, or too short for the pace.
    """
    return decode_video(sample.video, spec, sample.start_s, transform)


def decode_video(video: Path, spec: ClipSpec, start_s: float, transform: Transform) -> Frames:
    """The same of a file that is no sample's own video, such as its depth."""
    return apply(decode(video, spec, start_s, pace=transform.pace, cut=transform.cut), transform)


def keyed(identity: str, transform: Transform) -> str:
    """What an encoding is named by: `identity` alone for the plain clip."""
    return f"{identity}:{transform.key}" if transform.key else identity


def apply(frames_THWC: Frames, transform: Transform) -> Frames:
    """What is done after decoding: mirrored, reversed, recoloured."""
    if transform.flip:
        frames_THWC = mirror(frames_THWC)
    if transform.reverse:
        frames_THWC = reverse(frames_THWC)
    return frames_THWC if transform.colour is None else recolour(frames_THWC, transform.colour)


def mirror(frames_THWC: Frames) -> Frames:
    """Left and right exchanged."""
    return np.ascontiguousarray(frames_THWC[:, :, ::-1])


def reverse(frames_THWC: Frames) -> Frames:
    """Last frame first."""
    return np.ascontiguousarray(frames_THWC[::-1])


def recolour(frames_THWC: Frames, colour: Colour) -> Frames:
    """One affine map of all pixels: hue and saturation about grey, then brightness, then contrast about mid grey."""
    matrix = colour.contrast * colour.brightness * _saturation(colour.saturation) @ _hue(math.radians(colour.hue))
    offset = _MID_GREY * (1 - colour.contrast)
    coloured = np.empty_like(frames_THWC)
    for index, frame_HWC in enumerate(frames_THWC):  # frame by frame: a long clip in float32 is gigabytes
        mapped = frame_HWC.astype(np.float32) @ matrix.T.astype(np.float32) + np.float32(offset)
        coloured[index] = np.clip(np.rint(mapped), 0, 255).astype(np.uint8)
    return coloured


def _saturation(factor: float) -> npt.NDArray[np.float64]:
    """From grey to twice the colour; it keeps the brightness."""
    mixed: npt.NDArray[np.float64] = factor * np.eye(3) + (1 - factor) * np.tile(_GREY, (3, 1))
    return mixed


def _hue(angle: float) -> npt.NDArray[np.float64]:
    """A rotation about the axis of greys (Rodrigues' formula); greys stay as they are."""
    axis = np.full(3, 1 / math.sqrt(3))
    cross = np.cross(np.eye(3), axis)
    turned: npt.NDArray[np.float64] = (
        math.cos(angle) * np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * np.outer(axis, axis)
    )
    return turned
