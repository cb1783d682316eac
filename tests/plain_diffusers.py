"""The other side of the equivalence tests: the published pipeline, without a line of ours but the safety checker."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from posttrain.models.base import Frames
from posttrain.models.loading import NoGuardrail
from posttrain.models.torchvision_shim import ensure_torchvision


def plain_pipeline(checkpoint: Path) -> Any:
    """The pipeline with its text encoder, as a user of diffusers loads it."""
    ensure_torchvision()
    from diffusers import DiffusionPipeline

    with torch.enable_grad():  # loading turns gradients off for the whole process
        pipe = DiffusionPipeline.from_pretrained(
            checkpoint, safety_checker=NoGuardrail(), dtype=torch.float32, local_files_only=True
        )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def as_video(frames_THWC: Frames) -> torch.Tensor:
    """uint8 frames to what the pipeline takes as `video`: (1, 3, T, H, W) in -1..1."""
    video_CTHW = torch.from_numpy(np.moveaxis(frames_THWC, -1, 0).astype(np.float32))
    return (video_CTHW / 127.5 - 1)[None]
