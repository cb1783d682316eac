"""How long, how fast and in which precision a trial trains."""

import math
from typing import Annotated, Literal

from pydantic import Field, field_validator

from posttrain.config.base import Section, Share, refusal


class TrainingConfig(Section):
    """The optimisation of one trial: AdamW on the loss of its kind."""

    steps: Annotated[int, Field(ge=1)]
    """Optimizer steps."""
    batch_size: Annotated[int, Field(ge=1)] = 8
    """Samples per optimizer step, over all workers (the effective batch size); in RL, questions."""
    micro_batch_size: Annotated[int, Field(ge=1)] | None = None
    """Samples per forward pass of one worker; all of its share when left out."""
    learning_rate: Annotated[float, Field(gt=0, default_factory=lambda: 1.0e-4)]
    """The peak learning rate; in a sweep file, the usual one of strategy and checkpoint when left out."""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.03
    """Share of the steps in which the learning rate rises from 0."""
    schedule: Literal["cosine", "constant", "linear"] = "cosine"
    """The learning rate after the warm-up."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.001
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    """Gradients are scaled down to this norm."""
    precision: Literal["bf16", "fp32"] = "bf16"
    """What the model computes in; what trains is held in float32 whatever this says."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Draws, noise and initial adapter weights."""
    conditioning_frames: dict[Annotated[int, Field(strict=False, ge=0)], Share] | None = None
    """Latent frames that are given clean and left out of the loss -> probability; they sum to 1. Diffusion models; the
    published shares of the checkpoint's generation when left out."""
    shift: Annotated[float, Field(gt=0)] | None = None
    """Flow shift: moves the noise levels of the training towards noise. Diffusion models; the published one when left
    out."""
    gradient_checkpointing: bool = False
    """Computes activations twice instead of keeping them: slower, less memory."""

    @field_validator("conditioning_frames")
    @classmethod
    def _sums_to_one(cls, shares: dict[int, float] | None) -> dict[int, float] | None:
        if shares is None:
            return None
        total = math.fsum(shares.values())
        if abs(total - 1) > 1e-6:
            raise refusal(
                f"the probabilities sum to {total:.6g}, expected 1", "for example {1: 0.5, 2: 0.5}, or {0: 1.0}"
            )
        return shares
