"""What near duplicates are told by: a few hundred bits and a tiny thumbnail of each clip.

Perceptual hashes (ImageHash's pHash) of pictures tell what a clip shows; those of what changes in each quarter of its
time tell what happens, because clips of one fixed camera show the same. Hashes leave out colour, which the thumbnails
hold. All survive another codec, size or quality; none survives another event, crop or mirror.
"""

import base64
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Frames = npt.NDArray[np.uint8]
Bits = npt.NDArray[np.uint64]

_LOOKS = 2  # pictures that are hashed: after a quarter and after three quarters of the time
_EVENTS = 4  # parts of the time whose changes are hashed
_THUMB = 8
# Changes of grey below this are noise of the sensor or of the codec.
_NOISE = 6
NUM_WORDS = _LOOKS + _EVENTS


@dataclass(frozen=True)
class Signatures:
    """Of N clips: hashes of what they show and of what happens, and thumbnails.

    Attributes:
        looks: uint64 (N, 2).
        events: uint64 (N, 4); 0 where nothing moves.
        thumbs: uint8 (N, 2 x 8 x 8 x 3).
    """

    looks: Bits
    events: Bits
    thumbs: npt.NDArray[np.uint8]


def signature(frames_THWC: Frames) -> str:
    """The signature of a clip as text: hashes and thumbnails in base64."""
    from PIL import Image

    greys_THW = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames_THWC])
    places = [round((len(greys_THW) - 1) * share) for share in (0.25, 0.75)]
    words = [_phash(Image.fromarray(greys_THW[place])) for place in places]
    words += [_phash(Image.fromarray(part)) if part.any() else 0 for part in _changes(greys_THW)]
    thumbs = [cv2.resize(frames_THWC[place], (_THUMB, _THUMB), interpolation=cv2.INTER_AREA) for place in places]
    data = np.array(words, "<u8").tobytes() + np.stack(thumbs).tobytes()
    return base64.b64encode(data).decode()


def read_signatures(texts: list[str]) -> Signatures:
    """The signatures of N clips as arrays."""
    data = np.frombuffer(b"".join(map(base64.b64decode, texts)), np.uint8).reshape(len(texts), -1)
    words = np.ascontiguousarray(data[:, : 8 * NUM_WORDS]).view("<u8").astype(np.uint64)
    return Signatures(words[:, :_LOOKS], words[:, _LOOKS:], data[:, 8 * NUM_WORDS :])


def _phash(picture: object) -> int:
    import imagehash

    return int(str(imagehash.phash(picture)), 16)


def _changes(greys_THW: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.uint8]]:
    """Where the picture changes in each part of the time, stretched to full contrast; black where it does not."""
    size = (64, 64)
    small = np.stack([cv2.resize(picture, size, interpolation=cv2.INTER_AREA) for picture in greys_THW]).astype(
        np.int16
    )
    differences = np.abs(np.diff(small, axis=0))
    differences = np.where(differences < _NOISE, 0, differences)
    parts = np.array_split(differences, _EVENTS) if len(differences) else [np.zeros((0, *size), np.int16)] * _EVENTS
    return [_stretched(part) for part in parts]


def _stretched(part_THW: npt.NDArray[np.int16]) -> npt.NDArray[np.uint8]:
    summed = part_THW.sum(axis=0, dtype=np.float64)
    peak = float(summed.max()) if summed.size else 0.0
    return np.asarray(summed * (255 / peak) if peak else summed, np.float64).astype(np.uint8)
