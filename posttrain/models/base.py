"""What the trainer, the evaluation and the gate ask of a video diffusion family.

Shapes: B batch, C latent channels, T latent frames, h and w latent height and width, L prompt tokens, D prompt
channels; pixels are T frames x H x W x 3 in uint8.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from posttrain.data import ClipSpec

Frames = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Noise:
    """The random part of a flow-matching loss, drawn outside the model so that it can be held fixed.

    Attributes:
        sigmas_B: noise levels in (0, 1); 1 is pure noise.
        noise_BCThw: standard normal.
        num_condition_B: leading latent frames that are given clean and left out of the loss; at least one frame of T
            must remain.
    """

    sigmas_B: torch.Tensor
    noise_BCThw: torch.Tensor
    num_condition_B: torch.Tensor

    def to(self, device: torch.device) -> "Noise":
        """The same draws on `device`."""
        return Noise(self.sigmas_B.to(device), self.noise_BCThw.to(device), self.num_condition_B.to(device))


class Trainable(Protocol):
    """A loaded checkpoint as a strategy sees it."""

    device: torch.device

    @property
    def modules(self) -> Mapping[str, torch.nn.Module]:
        """The networks that can be trained, by the name of their folder in the checkpoint."""
        ...

    def replace(self, name: str, module: torch.nn.Module) -> None:
        """Puts another network in the place of `modules[name]`, wherever the checkpoint uses it."""
        ...


class VideoFamily(Trainable, Protocol):
    """A loaded checkpoint: frozen codecs, one trainable `transformer`, a loss and the pipeline's own sampler."""

    clip: ClipSpec
    transformer: torch.nn.Module

    @property
    def weights_key(self) -> str:
        """Names the base weights that trials start from."""
        ...

    @property
    def latents_key(self) -> str:
        """Names everything that latents depend on besides the clip."""
        ...

    @property
    def prompts_key(self) -> str:
        """Names everything that prompt embeddings depend on besides the text."""
        ...

    def encode_frames(self, frames_THWC: Frames) -> torch.Tensor:
        """Pixels to normalised latents, float32 (C, T, h, w) on the CPU."""
        ...

    def decode_latents(self, latents_CThw: torch.Tensor) -> Frames:
        """Normalised latents to pixels."""
        ...

    def encode_prompts(self, prompts: list[str]) -> list[torch.Tensor]:
        """Texts to what cross-attention reads, (L, D) each on the CPU."""
        ...

    def loss(self, latents_BCThw: torch.Tensor, prompts_BLD: torch.Tensor, noise: Noise) -> torch.Tensor:
        """The family's training loss per sample, (B,), float32."""
        ...

    def scalar_floor(self, latents_BCThw: torch.Tensor, noise: Noise) -> torch.Tensor:
        """The loss per sample of the best predictor that only scales its input: what data alone gives away."""
        ...

    def continue_clip(
        self, frames_THWC: Frames, prompt_LD: torch.Tensor, *, steps: int, seed: int, num_condition: int = 1
    ) -> torch.Tensor:
        """The pipeline's own sampler: continues the first frame(s), returns normalised latents (C, T, h, w)."""
        ...
