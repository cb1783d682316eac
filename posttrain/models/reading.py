"""What a checkpoint of any family is, and how it reads data: the file held against what the checkpoint says itself."""

from pathlib import Path

from posttrain.config import TrialConfig, kind_of
from posttrain.config.augment import TEMPORAL_TYPES
from posttrain.data import ClipSpec, RowSpec
from posttrain.errors import ModelError
from posttrain.models.catalog import CheckpointInfo, clip_of, conditioning_of, describe, is_told
from posttrain.models.vlm_catalog import FAMILY, NEWEST, VlmInfo, describe_vlm, rows_of

Info = CheckpointInfo | VlmInfo
Spec = ClipSpec | RowSpec


def family_of(checkpoint: str, base_dir: Path = Path()) -> str | None:
    """The family that the checkpoint's own files or its published name tell; None where nothing does."""
    try:
        if describe_vlm(checkpoint, base_dir) is not None:
            return FAMILY
        return describe(checkpoint, base_dir).generation.family if is_told(checkpoint, base_dir) else None
    except ModelError:
        return None


def checkpoint_fault(checkpoint: str, base_dir: Path = Path()) -> str | None:
    """Why a checkpoint on the disk cannot be used; None for one that can, and for one on the hub."""
    try:
        if describe_vlm(checkpoint, base_dir) is None:
            describe(checkpoint, base_dir)
    except ModelError as error:
        return str(error).removeprefix("model.checkpoint: ")
    return None


def reading_of(config: TrialConfig, base_dir: Path) -> tuple[Info, Spec]:
    """What the checkpoint is, and the clips or rows that it reads.

    Raises:
        ModelError: the checkpoint is not there, not whole, or contradicts the file.
    """
    vlm = describe_vlm(config.model.checkpoint, base_dir)
    if vlm is None and not is_told(config.model.checkpoint, base_dir):
        vlm = _untold(config)
    if vlm is not None:
        return vlm, rows_of(config.model, vlm)
    info = describe(config.model.checkpoint, base_dir)
    clip = clip_of(config.model, info)
    shares = conditioning_of(config.training.conditioning_frames, info.generation, clip)
    _check_augmentations(config, clip, given=any(shares.get(frames, 0) for frames in shares if frames))
    return info, clip


def _check_augmentations(config: TrialConfig, clip: ClipSpec, *, given: bool) -> None:
    """Of what only the checkpoint can tell: an augmentation that could change nothing."""
    for step in config.data.augmentations:
        where = f"data.augmentations.{step.type}"
        if step.type in TEMPORAL_TYPES and clip.frames == 1:
            raise ModelError(f"{where}: it changes which frames are read, and this model reads single ones; delete it")
        if step.type == "conditioning_noise" and not given:
            raise ModelError(f"{where}: it is noise on given frames, and the training gives none; delete it")


def _untold(config: TrialConfig) -> VlmInfo | None:
    """A hub id whose files are not here and whose name is not a published one: the sweep file must say what it is.

    Its architecture or generation is taken for the newest one until the loader reads it.
    """
    family, strategy = config.model.family, config.strategy.type
    if family is None and strategy == "full":
        raise ModelError(
            f"model.family: {config.model.checkpoint} is not in the local hub cache, so nothing tells what it is; "
            "write `family: vlm`, `family: cosmos-predict` or `family: cosmos-transfer`"
        )
    return VlmInfo(NEWEST, None) if kind_of(family, strategy) != "diffusion" else None
