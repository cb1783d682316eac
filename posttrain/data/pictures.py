"""Pixels of whole videos at their own size: what the processors of vision-language models take."""

from pathlib import Path

from posttrain.data.clip import ClipSpec
from posttrain.data.decode import Frames, decode, probe, upright_size
from posttrain.data.rows import RowSpec


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
