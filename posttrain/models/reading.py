"""What a checkpoint of any family is, and how it reads data: the file held against what the checkpoint says itself."""

from pathlib import Path

from posttrain.config import TrialConfig
from posttrain.data import ClipSpec, RowSpec
from posttrain.errors import ModelError
from posttrain.models.catalog import CheckpointInfo, clip_of, conditioning_of, describe
from posttrain.models.vlm_catalog import FAMILY, VlmInfo, describe_vlm, rows_of

Info = CheckpointInfo | VlmInfo
Spec = ClipSpec | RowSpec


def family_of(checkpoint: str, base_dir: Path = Path()) -> str | None:
    """The family that the checkpoint's own files tell; None where `reading_of` would raise."""
    try:
        if describe_vlm(checkpoint, base_dir) is not None:
            return FAMILY
        return describe(checkpoint, base_dir).generation.family
    except ModelError:
        return None


def reading_of(config: TrialConfig, base_dir: Path) -> tuple[Info, Spec]:
    """What the checkpoint is, and the clips or rows that it reads.

    Raises:
        ModelError: the checkpoint is not there, not whole, or contradicts the file.
    """
    vlm = describe_vlm(config.model.checkpoint, base_dir)
    if vlm is not None:
        return vlm, rows_of(config.model, vlm)
    info = describe(config.model.checkpoint, base_dir)
    clip = clip_of(config.model, info)
    conditioning_of(config.training.conditioning_frames, info.generation, clip)
    return info, clip
