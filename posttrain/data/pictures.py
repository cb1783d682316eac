"""Pixels of image files and of whole videos, at their own size: what the processors of vision-language models take."""

from pathlib import Path

from PIL import Image, ImageOps

from posttrain.data.clip import ClipSpec
from posttrain.data.decode import Frames, UnusableClip, decode, probe, upright_size
from posttrain.data.rows import RowSpec


def open_picture(path: Path) -> Image.Image:
    """The image in RGB, turned as its EXIF entry says; what is transparent becomes white.

    Raises:
        UnusableClip: it is not there, no image, damaged, or above Pillow's limit of pixels.
    """
    try:
        with Image.open(path) as file:
            picture = ImageOps.exif_transpose(file)
            picture.load()
    except FileNotFoundError as error:
        raise UnusableClip(f"no image file: {path.name}", path) from error
    except Exception as error:  # Pillow's readers raise whatever their format's parser meets
        raise UnusableClip(f"unreadable image: {path.name}", path) from error
    if "A" in picture.getbands() or "transparency" in picture.info:
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture.convert("RGBA"))
    return picture.convert("RGB")


def sample_video(path: Path, spec: RowSpec) -> tuple[Frames, float]:
    """Frames of the whole video, uint8 (T, H, W, 3), and their rate: `spec.fps`, or less where T would be too many.

    Raises:
        UnusableClip: unreadable or damaged.
    """
    info = probe(path)
    fps = min(spec.fps, spec.max_frames / info.duration_s)
    num_frames = max(1, min(spec.max_frames, int(info.duration_s * fps + 1e-6)))
    height, width = upright_size(path)
    return decode(path, ClipSpec(num_frames, height, width, fps)), fps
