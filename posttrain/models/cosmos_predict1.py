"""Cosmos-Predict1, Video2World and Text2World: EDM's preconditioning over latents of std 0.5.

The network reads c_in x with x = clip + s noise and answers (clip - c_skip x) / c_out, of unit variance; its timestep
is log(s) / 4 (Karras et al. 2022, arXiv 2206.00364, as `EDMEulerScheduler` of diffusers has it). Given frames carry
noise of `augment_sigma` and are scaled for it, as in `CosmosVideoToWorldPipeline.__call__`. Both pipelines pass the
frame rate.

cosmos-predict1 trains a clip of 16 latent frames with log s ~ N(log 4, 1), which hardly meets the small s of the
sampler's last steps. The levels here are wider, so that short runs fit those too (measured on overfitted tiny clips:
relative error of 35 sampler steps 0.10 before, 0.014 after).
"""

import dataclasses
from typing import Any

import torch

from posttrain.errors import ModelError
from posttrain.models.base import Frames
from posttrain.models.cosmos_base import CosmosFamily, per_channel
from posttrain.models.noise import Noise, NoiseLevels
from posttrain.models.prompts import T5Prompts

# s of the noise on given frames; `augment_sigma` of the pipeline.
AUGMENT_SIGMA = 1e-3


class CosmosPredict1(CosmosFamily):
    """A loaded Predict1 Video2World checkpoint."""

    pipeline = "CosmosVideoToWorldPipeline"
    prompts_class = T5Prompts
    noise_levels = NoiseLevels(mean=1.0, std=1.5)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.noise_levels = dataclasses.replace(self.noise_levels, data_std=self._sigma_data)

    @property
    def _sigma_data(self) -> float:
        return float(self.pipe.scheduler.config.sigma_data)

    def _statistics(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The published codec keeps them for each of its 16 latent frames.

        Raises:
            ModelError: the clip is longer than what the codec has statistics for.
        """
        config = self.pipe.vae.config
        if config.latents_mean is None:
            ones = torch.ones(config.latent_channels, 1, 1, 1, device=self.device)
            return 0 * ones, self._sigma_data * ones
        mean = per_channel(config.latents_mean, config.latent_channels, self.device)
        std = per_channel(config.latents_std, config.latent_channels, self.device)
        known, wanted = mean.shape[1], self.generation.latent_frames(self.clip)
        if known != 1 and wanted > known:
            raise ModelError(
                f"model.frames: {self.clip.frames} frames are {wanted} latent frames, and the codec of {self.folder} "
                f"has the statistics of {known}; take at most {self.num_frames(known)}"
            )
        return mean, self._sigma_data / std

    def _task(
        self, latents_BCThw: torch.Tensor, noise: Noise, given_B1T11: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        sigma = _edm_sigma(noise.sigmas_B).view(-1, 1, 1, 1, 1)
        variance = sigma**2 + self._sigma_data**2
        noisy = latents_BCThw + sigma * noise.noise_BCThw
        augment = self._augment_sigma(noise)
        augmented = latents_BCThw + augment * noise.noise_BCThw
        given = augmented / (augment**2 + self._sigma_data**2) ** 0.5
        target = (latents_BCThw - self._sigma_data**2 / variance * noisy) / (sigma * self._sigma_data / variance.sqrt())
        return given_B1T11 * given + (1 - given_B1T11) * noisy / variance.sqrt(), target

    def _augment_sigma(self, noise: Noise) -> float | torch.Tensor:
        """s of the noise on given frames, at least the pipeline's own."""
        if noise.given_sigmas_B is None:
            return AUGMENT_SIGMA
        asked = noise.given_sigmas_B * self._sigma_data
        return asked.clamp(min=AUGMENT_SIGMA).view(-1, 1, 1, 1, 1)

    def _timestep(self, given_B1T11: torch.Tensor, sigmas_B: torch.Tensor) -> torch.Tensor:
        return 0.25 * torch.log(_edm_sigma(sigmas_B))

    def _call(self, given_THWC: Frames, num_condition: int) -> dict[str, Any]:
        assert num_condition > 0, "the pipeline wants a frame"
        call = {"num_frames": self.clip.frames, "fps": self.clip.fps, "augment_sigma": AUGMENT_SIGMA}
        return {**call, "video": self._unit_video(given_THWC)}


class CosmosPredict1Text(CosmosPredict1):
    """A loaded Predict1 Text2World checkpoint: no frame is given."""

    pipeline = "CosmosTextToWorldPipeline"
    tells_given = False

    def _call(self, given_THWC: Frames, num_condition: int) -> dict[str, Any]:
        assert num_condition == 0
        return {"num_frames": self.clip.frames, "fps": self.clip.fps}


def _edm_sigma(sigmas_B: torch.Tensor) -> torch.Tensor:
    return sigmas_B / (1 - sigmas_B)
