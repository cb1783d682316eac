"""Numbers that tell good clips from bad, each a pure function of small pictures of the frames that a model reads.

    check_window --small pictures, one at a time--> Meter --> Measured: scores by name, and a signature (see signature)

Pictures are RGB, uint8 (H, W, 3), `frames_THWC` a stack of them. A picture is shrunk until its shorter side is at most
`LOOK_SIDE` pixels and never enlarged, so that a score means the same at every resolution. Grey is 0 (black) to 1
(white).
"""

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from posttrain.data.decode import LOOK_SIDE
from posttrain.data.signature import signature
from posttrain.data.verdict_cache import Measured

Picture = npt.NDArray[np.uint8]
Frames = npt.NDArray[np.uint8]
Grey = npt.NDArray[np.float32]

# The shorter side, in pixels, of the pictures that brightness, cuts and shaking, and that motion is measured on.
_TINY = LOOK_SIDE // 2
_MOTION_SIDE = LOOK_SIDE // 4
# A pixel that changes by no more levels than this changes by the noise of a sensor or a codec.
_NOISE = 6
# What rounding to whole levels (of a picture and of its half) adds to the variance of the Laplacian: 1/12 times the sum
# of its squared weights, once and a quarter.
_ROUNDING = 20 / 12 * 1.25
# Sharpness is given as at this standard deviation of a picture's levels, if it has less.
_COMMON_CONTRAST = 40.0
# Two neighbouring pictures whose greys correlate more than this show the same scene (a flash, a lamp, a jerk).
_SAME_SCENE = 0.5
# A cut changes hue, saturation and value by this much on average, and this many times more than the changes beside it.
_CUT_CHANGE = 0.06
_CUT_ISOLATED = 2.5
# The camera's translation is the median of that of tiles; of fewer, or of a lower peak, it is a guess.
_TILES = 3
_SURE_TILES = 5
_SURE_PEAK = 0.15
# Less of a standard deviation of grey (0 to 1) than this is no structure that could be found again.
_STRUCTURE = 4 / 255
# Tiles smaller than this hold too little to be compared: the picture's shorter side in pixels.
_SHAKE_SIDE = 72


class Meter:
    """Takes the pictures of one window one after another and keeps no more of them than the scores need."""

    def __init__(self, num_frames: int) -> None:
        self._num_frames = num_frames
        self._sharpness: list[float] = []
        self._times_s: list[float] = []
        self._tiny: list[Picture] = []

    def add(self, picture_HWC: Picture, at_s: float) -> None:
        """The next distinct picture, its shorter side at most `LOOK_SIDE`, shown from `at_s` on."""
        self._sharpness.append(sharpness(picture_HWC))
        self._times_s.append(at_s)
        self._tiny.append(shrink(picture_HWC, _TINY))

    def result(self) -> Measured:
        """The scores of the window."""
        frames_THWC = np.stack(self._tiny)
        scores = {
            "sharpness": float(np.median(self._sharpness)),
            "brightness": brightness(frames_THWC),
            "contrast": contrast(frames_THWC),
        }
        if self._num_frames > 1:
            scores["motion"] = motion(frames_THWC, self._num_frames)
            scores["cuts"] = float(len(cuts(frames_THWC)))
            if min(frames_THWC.shape[1:3]) >= _SHAKE_SIDE:
                scores["shake"] = shake(grey(frames_THWC), self._times_s)
        return Measured({name: float(f"{value:.5g}") for name, value in scores.items()}, signature(frames_THWC))


def shrink(picture_HWC: Picture, side: int) -> Picture:
    """The picture with its shorter side at `side` pixels by averaging; as it is where that would enlarge it."""
    height, width = picture_HWC.shape[:2]
    scale = side / min(height, width)
    if scale >= 1:
        return picture_HWC
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(picture_HWC, size, interpolation=cv2.INTER_AREA), np.uint8)


def grey(frames_THWC: Frames) -> Grey:
    """Luma (ITU-R BT.601) of each picture, 0 to 1, (T, H, W)."""
    weights = np.array([0.299, 0.587, 0.114], np.float32) / 255
    return np.stack([cv2.transform(frame.astype(np.float32), weights[None]) for frame in frames_THWC])


def sharpness(picture_HWC: Picture) -> float:
    """Variance of the Laplacian, of levels of 0 to 255 (Pech-Pacheco et al., ICPR 2000), at half the picture's size.

    Of the mix of colours that varies most, which is grey in most pictures, and at half the size because most files hold
    no more of colour. What rounding adds is taken off, and a picture of low contrast is held to a common one, so that
    the dark is not taken for blurred.
    """
    half_HWC = cv2.resize(picture_HWC, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    colours = half_HWC.reshape(-1, 3).astype(np.float64)
    colours -= colours.mean(axis=0)
    _, axes = np.linalg.eigh(colours.T @ colours)
    mixed_HW = (colours @ axes[:, -1]).reshape(half_HWC.shape[:2]) / np.sqrt(3)  # a grey picture stays as it is
    laplacian = float(cv2.Laplacian(mixed_HW, cv2.CV_64F).var()) - _ROUNDING / 3
    return max(laplacian, 0.0) * max(1.0, _COMMON_CONTRAST**2 / max(float(mixed_HW.var()), 4.0))


def brightness(frames_THWC: Frames) -> float:
    """Mean grey of all pictures."""
    return float(grey(frames_THWC).mean())


def contrast(frames_THWC: Frames) -> float:
    """Standard deviation of the levels inside a picture, 0 to 0.5: root mean square over colours, mean over time."""
    deviations = [cv2.meanStdDev(frame)[1] for frame in frames_THWC]
    return float(np.sqrt(np.square(deviations).mean(axis=(1, 2))).mean()) / 255


def motion(frames_THWC: Frames, num_frames: int) -> float:
    """Mean absolute difference of successive frames, 0 to 1: of the median pair, or of all without what is noise.

    The larger one. A frozen picture changes where its codec sharpens it or begins anew, so its median pair does not; a
    short event leaves most pairs as they are, and is no noise. Of `num_frames` frames those that repeat a picture
    differ by nothing.
    """
    small = [shrink(frame, _MOTION_SIDE) for frame in frames_THWC]
    differences = [cv2.absdiff(before, after) for before, after in pairwise(small)]
    if not differences:
        return 0.0
    usual = float(np.median([difference.mean() for difference in differences]))
    total = sum(float(np.where(difference > _NOISE, difference, 0).mean()) for difference in differences)
    return max(usual, total / (num_frames - 1)) / 255


def shake(greys_THW: Grey, times_s: Sequence[float]) -> float:
    """How unsteadily the camera moves: median change of its speed from frame to frame, as a share of the width.

    The second difference of the camera's translation, so a steady pan has none; speeds are per mean time between
    frames, so uneven times are no shaking. The translation is the median over tiles of what phase correlation finds,
    so a thing that moves before a fixed camera is no shaking either.
    """
    if len(greys_THW) < 3:
        return 0.0
    intervals_s = np.maximum(np.diff(np.asarray(times_s)), 1e-6)
    steps = [_translation(a, b) for a, b in pairwise(greys_THW)]
    speeds = np.array(steps) * (intervals_s.mean() / intervals_s)[:, None]
    changes = np.linalg.norm(np.diff(speeds, axis=0), axis=1)
    known = changes[np.isfinite(changes)]
    return float(np.median(known)) / greys_THW.shape[2] if len(known) else 0.0


def _translation(before_HW: Grey, after_HW: Grey) -> tuple[float, float]:
    """The camera's translation in pixels (x, y); NaN where too few tiles tell."""
    height, width = before_HW.shape[0] // _TILES, before_HW.shape[1] // _TILES
    window_HW = cv2.createHanningWindow((width, height), cv2.CV_32F)
    found = []
    for row in range(_TILES):
        for column in range(_TILES):
            tile = np.s_[row * height : (row + 1) * height, column * width : (column + 1) * width]
            before, after = np.ascontiguousarray(before_HW[tile]), np.ascontiguousarray(after_HW[tile])
            shift, peak = cv2.phaseCorrelate(before, after, window_HW)
            if peak >= _SURE_PEAK and cv2.meanStdDev(before)[1][0, 0] > _STRUCTURE:
                found.append(shift)
    if len(found) < _SURE_TILES:
        return float("nan"), float("nan")
    x, y = np.median(np.array(found), axis=0)
    return float(x), float(y)


def cuts(frames_THWC: Frames) -> list[int]:
    """Where the scene changes at once: indices of the pictures that a new scene begins with.

    A cut is an isolated jump of hue, saturation and value between two neighbours (the content value of PySceneDetect's
    detectors) after which the old scene does not come back. A flash comes back, a fast pan does not jump alone, and a
    lamp that goes on leaves the scene's structure as it is. Dissolves and fades are no cuts.
    """
    if len(frames_THWC) < 2:
        return []
    greys_THW = grey(frames_THWC)
    changes = _hsv_changes(frames_THWC)
    last = len(changes) - 1
    found = []
    for index, change in enumerate(changes):
        beside = [float(changes[near]) for near in (index - 1, index + 1) if 0 <= near <= last]
        if change < _CUT_CHANGE or change < _CUT_ISOLATED * max(beside, default=0.0):
            continue
        before, after = greys_THW[max(0, index - 1) : index + 1], greys_THW[index + 1 : index + 3]
        if max(_correlation(a, b) for a in before for b in after) < _SAME_SCENE:
            found.append(index + 1)
    return found


def _hsv_changes(frames_THWC: Frames) -> npt.NDArray[np.float64]:
    """Mean absolute change of hue, saturation and value between neighbours, 0 to 1."""
    hsv = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2HSV_FULL) for frame in frames_THWC]).astype(np.int16)
    difference = np.abs(np.diff(hsv, axis=0))
    difference[..., 0] = np.minimum(difference[..., 0], 256 - difference[..., 0])  # hue is a circle
    return np.asarray(difference.mean(axis=(1, 2, 3)) / 255)


def _correlation(one_HW: Grey, other_HW: Grey) -> float:
    one, other = one_HW - one_HW.mean(), other_HW - other_HW.mean()
    norm = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float((one * other).sum()) / norm if norm > 1e-6 else 0.0
