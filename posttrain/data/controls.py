"""Control clips: what a Transfer model is shown of a clip besides its caption.

`edge` and `blur` are made from the clip's own pixels; `depth` and `seg` are videos of the same stem beside it, read
with the same window and size. Every control is a clip like any other, uint8 (T, H, W, 3), and the video codec encodes
it like one.

    a sample + its decoded clip --make_control--> a control clip
"""

from collections.abc import Callable, Iterable

import numpy as np

from posttrain.data.clip import ClipSpec
from posttrain.data.decode import Frames
from posttrain.data.sample import Sample, UnusableClip
from posttrain.data.transform import PLAIN, Transform, decode_video, keyed

# The preset `medium` of the published recipe: AddControlInputEdge and AddControlInputBlur of cosmos-transfer2.5.
CANNY_THRESHOLDS = (100, 200)
BILATERAL_DIAMETER, BILATERAL_SIGMA_COLOUR, BILATERAL_SIGMA_SPACE = 30, 150, 100
SHRINK_BEFORE_BLUR = 2
SHRINK_AFTER_BLUR = 10


def edge(frames_THWC: Frames) -> Frames:
    """White Canny edges on black."""
    import cv2

    edges_THW = np.stack([cv2.Canny(np.ascontiguousarray(frame), *CANNY_THRESHOLDS) for frame in frames_THWC])
    return np.repeat(edges_THW[..., None], 3, axis=-1).astype(np.uint8)


def blur(frames_THWC: Frames) -> Frames:
    """Colours without detail: an edge-preserving filter at half the size, then a tenth of the size and back."""
    return np.stack([_blurred(frame) for frame in frames_THWC])


def _blurred(frame_HWC: Frames) -> Frames:
    import cv2
    from PIL import Image

    height, width = frame_HWC.shape[:2]
    small = cv2.resize(frame_HWC, _shrunk(width, height, SHRINK_BEFORE_BLUR), interpolation=cv2.INTER_AREA)
    smooth = cv2.bilateralFilter(small, BILATERAL_DIAMETER, BILATERAL_SIGMA_COLOUR, BILATERAL_SIGMA_SPACE)
    whole = Image.fromarray(np.asarray(cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8))
    tenth = whole.resize(_shrunk(width, height, SHRINK_AFTER_BLUR), Image.Resampling.BICUBIC)
    return np.asarray(tenth.resize((width, height), Image.Resampling.BICUBIC))


def _shrunk(width: int, height: int, factor: int) -> tuple[int, int]:
    return max(1, width // factor), max(1, height // factor)


# Made from the clip: name -> its maker, and what its encodings are cached under (change it when the pixels change).
COMPUTED: dict[str, Callable[[Frames], Frames]] = {"edge": edge, "blur": blur}
RECIPES = {
    "edge": f"edge canny {CANNY_THRESHOLDS}",
    "blur": f"blur {SHRINK_BEFORE_BLUR} {BILATERAL_DIAMETER} {BILATERAL_SIGMA_COLOUR} {BILATERAL_SIGMA_SPACE} "
    f"{SHRINK_AFTER_BLUR}",
}
# Read from files: the name is the folder's beside videos/.
READ = ("depth", "seg")


def read_names(names: Iterable[str] | None) -> tuple[str, ...]:
    """Those of `names` that need a file beside each video."""
    return tuple(name for name in READ if name in (names or ()))


def make_control(
    name: str, sample: Sample, spec: ClipSpec, frames_THWC: Frames, transform: Transform = PLAIN
) -> Frames:
    """The control `name` of a sample whose clip, read through `transform`, is `frames_THWC`.

    What is computed of the clip sees its colours; what is a file of its own is read through the geometry alone, for
    the colours of depth and segmentation have another meaning.

    Raises:
        UnusableClip: its file is missing, unreadable or too short; `scan` drops such a sample before.
    """
    if name in COMPUTED:
        return COMPUTED[name](frames_THWC)
    if name not in sample.controls:
        raise UnusableClip(missing(name), sample.video)
    return decode_video(sample.controls[name].path, spec, sample.start_s, transform.geometry)


def identity(name: str, sample: Sample, transform: Transform = PLAIN) -> str:
    """What the pixels of a control depend on besides the model's clip: content, window, recipe and transform."""
    if name in COMPUTED:
        return keyed(f"{RECIPES[name]}:{sample.content_hash}:{sample.start_s}", transform)
    return keyed(f"{sample.controls[name].content_hash}:{sample.start_s}", transform.geometry)


def missing(name: str) -> str:
    """The reason to drop a clip without the control `name`."""
    return f"no {name} control"
