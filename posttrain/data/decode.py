"""Pixels out of video and image files: which frames a model reads, and how they are cut to its size.

A clip of T frames at `fps` takes, for each of the times `start_s + i / fps`, the frame nearest in time, whatever the
frame rate of the file (constant or not). Frames are turned as the file says, scaled to cover the model's size, and cut
to its centre. What cannot be read raises `UnusableClip` with a short reason that is the same on every machine.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from posttrain.data.archives import open_media, size_of
from posttrain.data.clip import ClipSpec
from posttrain.data.sample import UnusableClip
from posttrain.errors import EnvironmentFault

if TYPE_CHECKING:
    from av.video.reformatter import VideoReformatter
    from PIL.Image import Image

Frames = npt.NDArray[np.uint8]

# What is read as a picture: a clip of one frame. Everything else is read as a video.
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
# Only the file itself, and only as a container of video: a playlist that calls itself .mp4 must not open other files.
_OPEN_OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg",
}
# What `check_window` shows a caller: a small picture (H, W, 3) and its time in seconds.
Look = Callable[[Frames, float], None]
LOOK_SIDE = 256
# Times closer than this are the same time (a 90 kHz clock ticks every 11 microseconds).
_TICK_S = 1e-5
# Up to here it is cheaper to decode from the start than to seek.
_SEEK_AFTER_S = 2.0


@dataclass(frozen=True)
class VideoInfo:
    """What the packets of a file say: `duration_s` is what is really there, not what the header promises."""

    duration_s: float
    width: int
    height: int
    fps: float
    num_frames: int


def probe(video: Path) -> VideoInfo:
    """Reads the packets of `video` without decoding them; an image is one frame that lasts no time.

    Raises:
        UnusableClip: the file is empty, is no video, or holds no frame.
    """
    if is_image(video):
        width, height = open_picture(video).size
        return VideoInfo(0.0, width, height, 0.0, 1)
    with _open(video) as (container, stream):
        num_frames, first_s, end_s = 0, float("inf"), 0.0
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        for packet in container.demux(stream):
            if packet.size == 0:
                continue
            time_s = num_frames / rate if packet.pts is None and rate else float((packet.pts or 0) * packet.time_base)
            frame_s = float(packet.duration * packet.time_base) if packet.duration else (1 / rate if rate else 0.0)
            num_frames += 1
            first_s, end_s = min(first_s, time_s), max(end_s, time_s + frame_s)
        if num_frames == 0:
            raise UnusableClip("unreadable: no frames", video)
        duration_s = end_s - first_s
        fps = num_frames / duration_s if duration_s else rate
        return VideoInfo(duration_s, int(stream.width), int(stream.height), fps, num_frames)


@dataclass(frozen=True)
class Cut:
    """A part of the largest picture of the model's shape: its size as a share of width and height, and where it lies.

    `x` and `y` go from 0 (left, top) to 1 (right, bottom).
    """

    scale: float = 1.0
    x: float = 0.5
    y: float = 0.5


WHOLE = Cut()


def decode(video: Path, spec: ClipSpec, start_s: float = 0.0, *, pace: float = 1.0, cut: Cut = WHOLE) -> Frames:
    """The clip of `spec` that begins `start_s` seconds into `video`, uint8 (T, H, W, 3).

    Args:
        pace: seconds of the video for each second of the clip; frames are still the nearest ones in time.
        cut: the part of the picture that is read.

    Raises:
        UnusableClip: unreadable, damaged inside the clip, or too short.
    """
    if is_image(video):
        assert spec.frames == 1, "images are no clips"
        return np.array(fit(np.asarray(open_picture(video)), 1.0, spec, cut))[None]  # Pillow's pixels are read-only
    frames_THWC = np.empty((spec.frames, spec.height, spec.width, 3), np.uint8)
    before: _Shown | None = None
    for index, shown in enumerate(_pick(video, spec, start_s, pace)):
        # a file slower than the model gives the same frame several times
        frames_THWC[index] = frames_THWC[index - 1] if shown is before else fit(*_picture(shown), spec, cut)
        before = shown
    return frames_THWC


def is_image(path: Path) -> bool:
    """Whether a file is read as a picture, told by its name."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def open_picture(path: Path) -> "Image":
    """The image in RGB, turned as its EXIF entry says; what is transparent becomes white.

    Raises:
        UnusableClip: it is not there, no image, damaged, or above Pillow's limit of pixels.
    """
    from PIL import Image, ImageOps

    try:
        with ExitStack() as opened:
            file = opened.enter_context(Image.open(_source(path, opened)))
            picture = ImageOps.exif_transpose(file)
            picture.load()
    except FileNotFoundError as error:
        raise UnusableClip(f"no image file: {path.name}", path) from error
    except EnvironmentFault:  # a host that is down is no broken picture
        raise
    except Exception as error:  # Pillow's readers raise whatever their format's parser meets
        raise UnusableClip(f"unreadable image: {path.name}", path) from error
    if "A" in picture.getbands() or "transparency" in picture.info:
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture.convert("RGBA"))
    return picture.convert("RGB")


def upright_size(video: Path) -> tuple[int, int]:
    """Height and width in square pixels of the first frame, turned as the file says.

    Raises:
        UnusableClip: the file is unreadable or holds no frame.
    """
    with _open(video) as (container, stream):
        for shown in _from(container, stream, 0.0):
            frame_HWC, aspect = _picture(shown)
            return frame_HWC.shape[0], max(1, round(frame_HWC.shape[1] * aspect))
    raise UnusableClip("unreadable: no frames", video)


def check_window(
    video: Path, spec: ClipSpec, start_s: float = 0.0, look: Look | None = None, *, pace: float = 1.0
) -> tuple[int, int]:
    """Height and width of the file's own pictures, upright; at a fraction of the cost of `decode`.

    Args:
        look: is shown each distinct picture that `decode` would take, shrunk so that its shorter side is at most
            `LOOK_SIDE` pixels, and the time in seconds from which it is shown.

    Raises:
        UnusableClip: where `decode` would. Only one picture is converted at its full size.
    """
    from av.video.reformatter import VideoReformatter

    if is_image(video):
        picture = open_picture(video)
        if look is not None:
            look(_shrunk_picture(picture), 0.0)
        return picture.height, picture.width
    before: _Shown | None = None
    shrinker = VideoReformatter()  # its tables are made once for all frames, which costs more than shrinking does
    for shown in _pick(video, spec, start_s, pace):
        if look is not None and shown is not before:
            look(_small(shown, shrinker), shown.begin_s)
        before = shown
    assert before is not None, "a clip has at least one frame"
    height, width = _picture(before)[0].shape[:2]
    return height, width


def picture_aspect(video: Path) -> float:
    """Width over height of the pictures of `video` as they are shown, told from the first.

    Raises:
        UnusableClip: there is no first picture.
    """
    with _open(video) as (container, stream):
        first = next(_from(container, stream, 0.0), None)
        if first is None:
            raise UnusableClip("unreadable: no frames", video)
        pixels_HWC, pixel_aspect = _picture(first)
    return pixel_aspect * float(pixels_HWC.shape[1] / pixels_HWC.shape[0])


def fit(frame_HWC: Frames, pixel_aspect: float, spec: ClipSpec, cut: Cut = WHOLE) -> Frames:
    """Scales a picture to cover `spec` and cuts its centre; `pixel_aspect` is a pixel's width over its height.

    With a `cut` a part of that centre is read, from the picture's own pixels.
    """
    from PIL import Image

    height, width = frame_HWC.shape[:2]
    cut_width = min(width * pixel_aspect, height * spec.width / spec.height) / pixel_aspect
    cut_height = min(height, width * pixel_aspect * spec.height / spec.width)
    left, top = (width - cut_width) / 2, (height - cut_height) / 2
    if cut != WHOLE:
        left, top = left + cut.x * (1 - cut.scale) * cut_width, top + cut.y * (1 - cut.scale) * cut_height
        cut_width, cut_height = cut.scale * cut_width, cut.scale * cut_height
    if (cut_width, cut_height) == (spec.width, spec.height) and left.is_integer() and top.is_integer():
        return frame_HWC[int(top) : int(top) + spec.height, int(left) : int(left) + spec.width]
    box = (left, top, left + cut_width, top + cut_height)
    # Pillow's bicubic widens with the scale, so shrinking does not alias
    resized = Image.fromarray(frame_HWC).resize((spec.width, spec.height), Image.Resampling.BICUBIC, box=box)
    return np.asarray(resized)


@contextmanager
def _open(video: Path) -> Iterator[tuple[Any, Any]]:
    """The opened container and its first video stream; every fault of the file becomes `UnusableClip`."""
    import av

    try:
        if size_of(video) == 0:
            raise UnusableClip("0 bytes", video)
        with ExitStack() as opened:
            source = _source(video, opened)
            container = opened.enter_context(av.open(source, options=_OPEN_OPTIONS, metadata_errors="ignore"))
            if not container.streams.video:
                raise UnusableClip("unreadable: no video stream", video)
            stream = container.streams.video[0]
            # one thread: the scan runs one clip per thread, and errors surface at the frame they belong to
            stream.thread_type = "NONE"
            stream.codec_context.options = {"err_detect": "explode"}
            yield container, stream
    except (av.error.FFmpegError, OSError) as error:
        raise UnusableClip(f"unreadable: {error.strerror or type(error).__name__}", video) from error


def _source(path: Path, opened: ExitStack) -> str | BinaryIO:
    """What a reader opens; the stack closes it."""
    media = open_media(path)
    return media if isinstance(media, str) else opened.enter_context(media)


@dataclass(frozen=True, eq=False)
class _Shown:
    """A decoded frame: from when to when it is shown, and the width of its pixels over their height."""

    begin_s: float
    end_s: float
    aspect: float
    frame: Any


def _pick(video: Path, spec: ClipSpec, start_s: float, pace: float = 1.0) -> Iterator[_Shown]:
    """Yields `spec.frames` frames: for each wanted time the nearest one, the earlier of two that are as near."""
    wanted = [start_s + pace * index / spec.fps for index in range(spec.frames)]
    done, before, end_s = 0, None, 0.0
    with _open(video) as (container, stream):
        for shown in _from(container, stream, start_s):
            if shown.frame.is_corrupt and shown.end_s > start_s:
                raise UnusableClip("unreadable: damaged frame", video)
            while done < spec.frames and shown.begin_s >= wanted[done] - _TICK_S:
                # without a frame before it, the first one stands for the gap in front of it
                nearer = before is None or shown.begin_s + before.begin_s < 2 * wanted[done] - _TICK_S
                yield shown if before is None or nearer else before
                done += 1
            if done == spec.frames:
                return
            before, end_s = shown, shown.end_s
    while before is not None and done < spec.frames and wanted[done] < end_s - _TICK_S:
        yield before
        done += 1
    if done < spec.frames:
        raise UnusableClip(f"too short: {max(end_s - start_s, 0.0):.2f} s of {pace * spec.duration_s:.2f} s", video)


def _from(container: Any, stream: Any, start_s: float) -> Iterator[_Shown]:
    """The frames from one at or before `start_s` on, with times that count from the first frame of the file."""
    rate = float(stream.average_rate or stream.guessed_rate or 0)
    aspect = float(stream.sample_aspect_ratio or 1) or 1.0
    origin_s = None if stream.start_time is None else float(stream.start_time * stream.time_base)
    if start_s > _SEEK_AFTER_S and origin_s is not None:
        container.seek(int((origin_s + start_s) / stream.time_base), stream=stream)
        first = next(container.decode(stream), None)
        landed = first is not None and first.time is not None and first.time - origin_s <= start_s
        # a seek that was tried costs the frame that told where it landed: go there again, or to the start
        container.seek(int((origin_s + start_s) / stream.time_base) if landed else 0, stream=stream)
    for index, frame in enumerate(container.decode(stream)):
        at_s = index / rate if frame.time is None and rate else float(frame.time or 0)
        origin_s = at_s if origin_s is None else origin_s
        frame_s = float(frame.duration * frame.time_base) if frame.duration else (1 / rate if rate else 0.0)
        yield _Shown(at_s - origin_s, at_s - origin_s + frame_s, aspect, frame)


def _picture(shown: _Shown) -> tuple[Frames, float]:
    """The frame's pixels, upright, and the width of one over its height."""
    import av

    try:
        pixels: Frames = shown.frame.to_ndarray(format="rgb24")
    except (av.error.FFmpegError, ValueError) as error:
        raise UnusableClip(f"unreadable: pixels of {shown.frame.format.name}") from error
    quarter_turns = round(shown.frame.rotation / 90) % 4
    if not quarter_turns:
        return pixels, shown.aspect
    aspect = 1 / shown.aspect if quarter_turns % 2 else shown.aspect
    return np.ascontiguousarray(np.rot90(pixels, quarter_turns)), aspect


def _small(shown: _Shown, shrinker: "VideoReformatter") -> Frames:
    """The frame's pixels, upright and shrunk to `LOOK_SIDE`; shrinking in the same pass as the conversion is cheap."""
    import av

    width, height = _look_size(shown.frame.width, shown.frame.height)
    try:
        # one thread, as in decoding: to start more takes longer than a frame
        small = shrinker.reformat(shown.frame, width, height, "rgb24", interpolation="AREA", threads=1)
        pixels = np.asarray(small.to_ndarray(), np.uint8)
    except (av.error.FFmpegError, ValueError) as error:
        raise UnusableClip(f"unreadable: pixels of {shown.frame.format.name}") from error
    return np.ascontiguousarray(np.rot90(pixels, round(shown.frame.rotation / 90) % 4))


def _shrunk_picture(picture: "Image") -> Frames:
    from PIL.Image import Resampling

    return np.array(picture.resize(_look_size(*picture.size), Resampling.BOX))


def _look_size(width: int, height: int) -> tuple[int, int]:
    scale = min(1.0, LOOK_SIDE / min(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))
