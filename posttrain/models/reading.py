"""How a checkpoint reads its data: what the file says, held against what the checkpoint is published for."""

from pathlib import Path

from posttrain.config import TrialConfig
from posttrain.data import ClipSpec, RowSpec
from posttrain.models.catalog import CheckpointInfo, clip_of, conditioning_of, describe

Spec = ClipSpec | RowSpec


def reading_of(config: TrialConfig, base_dir: Path) -> tuple[CheckpointInfo, Spec]:
    """What the checkpoint is, and the clips or rows that it reads.

    Raises:
        ModelError: the checkpoint is not there, not whole, or contradicts the file.
    """
    info = describe(config.model.checkpoint, base_dir)
    clip = clip_of(config.model, info)
    conditioning_of(config.training.conditioning_frames, info.generation, clip)
    return info, clip
