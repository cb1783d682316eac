"""Drawing for the demo clips: colours with names, anti-aliased shapes, cameras, and the mp4 writer.

A picture is a float32 array (H, W, 3) in 0..255. Shapes are signed distances in world units (negative inside), turned
into coverage over one pixel, so edges are smooth at every zoom. `Camera.grid` gives the world position of each pixel.
"""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

SIZE = 64
FPS = 8
NUM_FRAMES = 17

Array = npt.NDArray[np.floating[Any]]
Frames = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

# Saturated and far apart: a model that sees 32 x 32 pixels must be able to tell them from each other.
COLOURS: dict[str, Colour] = {
    "red": (228, 26, 28),
    "green": (30, 190, 60),
    "blue": (35, 70, 240),
    "yellow": (252, 220, 20),
    "magenta": (230, 40, 205),
    "cyan": (25, 215, 235),
    "orange": (252, 130, 15),
    "white": (250, 250, 250),
}
BACKGROUNDS: dict[str, Colour] = {
    "black": (22, 22, 28),
    "grey": (112, 112, 120),
    "navy": (26, 34, 78),
    "brown": (104, 66, 36),
    "olive": (84, 94, 40),
    "lilac": (176, 160, 200),
}


@dataclass(frozen=True)
class Camera:
    """Looks at (`x`, `y`) of the world and sees `view` world units in each direction; y points up."""

    x: float
    y: float
    view: float

    def grid(self) -> tuple[Array, Array]:
        """World coordinates of the pixel centres: x (1, SIZE) and y (SIZE, 1), which broadcast to the picture."""
        steps = ((np.arange(SIZE, dtype=np.float32) + 0.5) / SIZE - 0.5) * np.float32(self.view)
        return self.x + steps[None, :], self.y - steps[:, None]

    @property
    def pixel(self) -> float:
        """Size of a pixel in world units."""
        return self.view / SIZE


def fill(colour: Colour) -> Array:
    """A picture of one colour."""
    return np.broadcast_to(np.asarray(colour, np.float32), (SIZE, SIZE, 3)).copy()


def paint(picture: Array, distance: Array, colour: Colour, pixel: float) -> None:
    """Paints the inside of a shape over `picture`, in place; `distance` is signed and in world units."""
    coverage = np.clip(0.5 - distance / pixel, 0, 1)[..., None]
    picture += coverage * (np.asarray(colour, np.float32) - picture)


def disc(x: Array, y: Array, radius: float) -> Array:
    """Signed distance to a disc around the origin."""
    return np.hypot(x, y) - radius


def square(x: Array, y: Array, half: float) -> Array:
    """Signed distance (largest-coordinate norm) to an upright square around the origin."""
    return np.maximum(np.abs(x), np.abs(y)) - half


def ring(x: Array, y: Array, radius: float) -> Array:
    """Signed distance to a ring around the origin."""
    return np.abs(np.hypot(x, y) - 0.75 * radius) - 0.25 * radius


def cross(x: Array, y: Array, radius: float) -> Array:
    """Signed distance to an upright cross around the origin."""
    arm = 0.33 * radius
    upright = np.maximum(np.abs(x) - arm, np.abs(y) - radius)
    across = np.maximum(np.abs(x) - radius, np.abs(y) - arm)
    return np.minimum(upright, across)


def triangle(x: Array, y: Array, radius: float) -> Array:
    """Signed distance to a triangle with its tip up around the origin."""
    sides = 0.866 * np.abs(x) + 0.5 * y
    return np.maximum(sides, -y) - 0.5 * radius


def rotate(x: Array, y: Array, angle: float) -> tuple[Array, Array]:
    """Coordinates in a frame turned by `angle` radians."""
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return cos * x + sin * y, cos * y - sin * x


def tile(picture: Array, x: Array, y: Array) -> None:
    """Lays faint unit tiles, lighter and darker in turn, over `picture`, in place; as strong on black as on white."""
    lighter = (np.floor(x) + np.floor(y)) % 2 == 0
    picture += np.where(lighter, np.float32(18), np.float32(-14))[..., None]


def blur(picture: Array, sigma: float) -> Array:
    """Gaussian blur with `sigma` in pixels."""
    reach = int(3 * sigma) + 1
    offsets = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2).astype(np.float32)
    kernel /= kernel.sum()
    padded = np.pad(picture, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    rows = _weighted_sum(kernel, [padded[k : k + SIZE] for k in range(len(kernel))])
    return _weighted_sum(kernel, [rows[:, k : k + SIZE] for k in range(len(kernel))])


def _weighted_sum(weights: Array, pictures: list[Array]) -> Array:
    total: Array = weights[0] * pictures[0]
    for weight, picture in zip(weights[1:], pictures[1:], strict=True):
        total += weight * picture
    return total


def to_uint8(picture: Array) -> Frames:
    """Rounds a picture to bytes."""
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


# x264's assembler now and then gives other bytes for the same pixels (1 in 20 of such small clips, with B-frames), and
# others on other CPUs; without it, and on one thread, a set has the same bytes everywhere.
_X264 = {"preset": "veryfast", "threads": "1", "bf": "0", "x264-params": "asm=0"}


def write_mp4(path: Path, frames_THWC: Frames, *, crf: int) -> None:
    """Writes an H.264 mp4 at `FPS`; `crf` is x264's quality, 0 (best) to 51."""
    import av

    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": str(crf), **_X264})
        stream.height, stream.width = frames_THWC.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for index, frame_HWC in enumerate(frames_THWC):
            frame = av.VideoFrame.from_ndarray(frame_HWC, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
