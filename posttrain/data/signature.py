"""What near duplicates are told by: a few hundred bits and thumbnails of each clip, about a kilobyte.

Perceptual hashes (ImageHash's pHash) of two pictures tell what a clip shows. Hashes of how the mean picture of each
quarter of its time differs from that of the whole tell what happens, because clips of one fixed camera show the same.
Thumbnails of both hold what hashes leave out: colour, and how much. All survive another codec, size or quality; none
survives another event, crop or mirror.
"""

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Frames = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Words = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.int64]

LOOKS = 2  # pictures that are hashed: after a quarter and after three quarters of the time
EVENTS = 4  # parts of the time that are hashed
BITS = 64  # of a hash
_EVENT_SIDE = 32
_THUMB_SIDE = 8
# Largest change in levels of 0 to 255, of a picture of _EVENT_SIDE pixels, from which a part's hash can be trusted.
_STRONG = 6
# Copies differ by at most so many levels in a cell of the mean thumbnail, and of that of a part's change; the more
# happens, the more of it (this share) goes astray in a copy.
_SAME_MEAN = 12
_SAME_CHANGE = 8
_ASTRAY = 0.1

_CELLS = _THUMB_SIDE * _THUMB_SIDE * 3
_LAYOUT = np.dtype(
    [
        ("looks", "<u8", LOOKS),
        ("events", "<u8", EVENTS),
        ("strong", "?", EVENTS),
        ("mean", "u1", _CELLS),
        ("changes", "i1", EVENTS * _CELLS),
    ]
)


@dataclass(frozen=True)
class Signatures:
    """Of N clips.

    Attributes:
        looks: uint64 (N, 2), hashes of what they show.
        events: uint64 (N, 4), hashes of what happens.
        strong: bool (N, 4), whether enough happens for its hash to be trusted.
        means: int16 (N, 192), thumbnails of the mean pictures.
        changes: int16 (N, 768), thumbnails of the parts' differences from them.
    """

    looks: Words
    events: Words
    strong: npt.NDArray[np.bool_]
    means: npt.NDArray[np.int16]
    changes: npt.NDArray[np.int16]

    def look_bits(self, rows: slice, columns: Indices) -> npt.NDArray[np.uint8]:
        """Differing bits of what they show, 0 to 128, (rows, columns)."""
        bits = [
            np.bitwise_count(self.looks[rows, word, None] ^ self.looks[None, columns, word]) for word in range(LOOKS)
        ]
        return np.asarray(sum(bits[1:], start=bits[0]), np.uint8)

    def event_bits(self, part: int, one: Any, other: Any) -> npt.NDArray[np.uint8]:
        """Differing bits of what happens in a part of the time, 0 to 64; none where little happens in both.

        `one` and `other` index clips: as many of each for pairs, or such that they broadcast.
        """
        bits = np.bitwise_count(self.events[one, part] ^ self.events[other, part])
        bits *= self.strong[one, part] | self.strong[other, part]
        return np.asarray(bits, np.uint8)

    def same_thumbs(self, one: Indices, other: Indices) -> npt.NDArray[np.bool_]:
        """Whether pairs agree in every cell of their thumbnails."""
        means = np.abs(self.means[one] - self.means[other]).max(axis=1, initial=0) <= _SAME_MEAN
        changes = np.abs(self.changes[one] - self.changes[other]).max(axis=1, initial=0)
        largest = np.abs(self.changes[one]).max(axis=1, initial=0)
        return np.asarray(means & (changes <= _SAME_CHANGE + _ASTRAY * largest))


def signature(frames_THWC: Frames) -> str:
    """The signature of a clip as text."""
    import cv2

    record = np.zeros((), _LAYOUT)
    places = [round((len(frames_THWC) - 1) * share) for share in (0.25, 0.75)]
    record["looks"] = [_phash(cv2.cvtColor(frames_THWC[place], cv2.COLOR_RGB2GRAY)) for place in places]
    small_THWC = _resized(frames_THWC, _EVENT_SIDE)
    for part, change_HWC in enumerate(_changes(small_THWC)):
        strength = float(np.abs(change_HWC).max())
        stretched_HWC = np.clip(128 + change_HWC * (127 / max(strength, 1e-6)), 0, 255).astype(np.uint8)
        record["events"][part] = _phash(cv2.cvtColor(stretched_HWC, cv2.COLOR_RGB2GRAY)) if strength else 0
        record["strong"][part] = strength >= _STRONG
    tiny_THWC = _resized(small_THWC, _THUMB_SIDE)
    record["mean"] = np.round(tiny_THWC.mean(axis=0)).ravel()
    record["changes"] = np.clip(np.round(np.stack(_changes(tiny_THWC))), -127, 127).ravel()
    return base64.b64encode(record.tobytes()).decode()


def read_signatures(texts: list[str]) -> Signatures:
    """The signatures of N clips as arrays."""
    records = np.frombuffer(b"".join(map(base64.b64decode, texts)), _LAYOUT)
    return Signatures(
        looks=records["looks"].astype(np.uint64),
        events=records["events"].astype(np.uint64),
        strong=records["strong"].copy(),
        means=records["mean"].astype(np.int16),
        changes=records["changes"].astype(np.int16),
    )


def _phash(grey_HW: npt.NDArray[np.uint8]) -> int:
    import imagehash
    from PIL import Image

    return int(str(imagehash.phash(Image.fromarray(grey_HW))), 16)


def _resized(frames_THWC: npt.NDArray[np.uint8] | Floats, side: int) -> Floats:
    import cv2

    size = (side, side)
    return np.stack([cv2.resize(frame.astype(np.float32), size, interpolation=cv2.INTER_AREA) for frame in frames_THWC])


def _changes(frames_THWC: Floats) -> list[Floats]:
    """Of each part of the time: its mean picture minus that of the whole; nothing where there are too few pictures."""
    mean_HWC = frames_THWC.mean(axis=0)
    parts = np.array_split(frames_THWC, EVENTS)
    return [part.mean(axis=0) - mean_HWC if len(part) else np.zeros_like(mean_HWC) for part in parts]
