"""What the trainer, the evaluation and the gate ask of a video diffusion family.

Shapes: B batch, C latent channels, T latent frames, h and w latent height and width, L prompt tokens, D prompt
channels, K controls; pixels are T frames x H x W x 3 in uint8.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from posttrain.data import ClipSpec
from posttrain.models.catalog import Generation
from posttrain.models.noise import Noise, NoiseLevels

Frames = npt.NDArray[np.uint8]


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

    def write(self, name: str, network: torch.nn.Module, state: Mapping[str, torch.Tensor], folder: Path) -> None:
        """Writes the weights `state` of `modules[name]` below `folder`, as the plain libraries load them.

        Args:
            network: what tells the configuration: the base's own network, which no sharding has touched.
            state: every weight by its name in `network.state_dict()`, float32.
        """
        ...

    def read(self, name: str, folder: Path) -> dict[str, torch.Tensor]:
        """The `state` that `write` wrote, on the CPU."""
        ...


class VideoFamily(Trainable, Protocol):
    """A loaded checkpoint: frozen codecs, trainable networks, a loss and the pipeline's own sampler.

    Attributes:
        generation: what the catalogue knows of it.
        clip: the clips it reads and samples.
        transformer: the network that predicts; `modules["transformer"]`.
        modules: the trainable networks by their folder in the checkpoint.
        noise_levels: the published distribution of the training's noise levels.
        conditioning: the published shares of given latent frames in training, for example {1: 0.5, 2: 0.5}.
        num_given: latent frames given in the evaluation and in the gate, 0 where the text decides alone.
        controls: the weights of the controls that it takes, by name in the order of K; {} for a family without.
    """

    generation: Generation
    clip: ClipSpec
    noise_levels: NoiseLevels
    conditioning: Mapping[int, float]
    num_given: int
    controls: Mapping[str, float]

    @property
    def control_names(self) -> tuple[str, ...]:
        """The names of `controls`."""
        ...

    @property
    def transformer(self) -> torch.nn.Module: ...

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

    @property
    def latents_bytes(self) -> int:
        """The size of what `encode_frames` gives for one clip."""
        ...

    @property
    def prompt_bytes(self) -> int:
        """The size of what `encode_prompts` gives for one text."""
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

    def loss(
        self,
        latents_BCThw: torch.Tensor,
        prompts_BLD: torch.Tensor,
        noise: Noise,
        controls_BKCThw: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The family's training loss per sample, (B,), float32."""
        ...

    def scalar_floor(self, latents_BCThw: torch.Tensor, noise: Noise) -> torch.Tensor:
        """The loss per sample of the best predictor that only scales its input: what data alone gives away."""
        ...

    def continue_clip(
        self,
        frames_THWC: Frames,
        prompt_LD: torch.Tensor,
        *,
        steps: int,
        seed: int,
        num_condition: int | None = None,
        controls_KCThw: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The pipeline's own sampler: continues the first `num_condition` latent frames (`num_given` if None).

        Returns normalised latents (C, T, h, w); with no given frame it samples from the text alone.
        """
        ...


__all__ = ["Frames", "Noise", "NoiseLevels", "VideoFamily"]
