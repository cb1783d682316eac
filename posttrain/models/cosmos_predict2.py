"""Cosmos-Predict2, Video2World and Text2Image: Predict2.5's rectified flow, told in the terms of EDM.

The pipelines scale by c_in = c_skip = 1 - t and c_out = -t with t = s / (1 + s), so that the network's answer is the
velocity noise - clip, and its timestep is t. Video2World passes the frame rate to the rotary embedding, Text2Image
passes none. Sources: `Cosmos2VideoToWorldPipeline` and `Cosmos2TextToImagePipeline` of diffusers. Noise levels:
cosmos-predict2 draws log s ~ N(0, 1) times the square root of its 24 latent frames, which is a flow shift of 4.9.
"""

import math
from typing import Any

import torch

from posttrain.models.base import Frames
from posttrain.models.cosmos_base import CosmosFamily, per_channel
from posttrain.models.noise import Noise, NoiseLevels, mixed
from posttrain.models.prompts import T5Prompts

# s of frames that are given clean; `sigma_conditioning` of the pipeline.
CONDITION_SIGMA = 1e-4


class CosmosPredict2(CosmosFamily):
    """A loaded Predict2 Video2World checkpoint."""

    pipeline = "Cosmos2VideoToWorldPipeline"
    prompts_class = T5Prompts
    noise_levels = NoiseLevels(mean=math.log(5.0))  # flow shift 5

    def _statistics(self) -> tuple[torch.Tensor, torch.Tensor]:
        config = self.pipe.vae.config
        mean = per_channel(config.latents_mean, config.z_dim, self.device)
        std = per_channel(config.latents_std, config.z_dim, self.device)
        return mean, self.pipe.scheduler.config.sigma_data / std

    def _task(
        self, latents_BCThw: torch.Tensor, noise: Noise, given_B1T11: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return mixed(latents_BCThw, noise, given_B1T11), noise.noise_BCThw - latents_BCThw

    def _timestep(self, given_B1T11: torch.Tensor, sigmas_B: torch.Tensor) -> torch.Tensor:
        given = CONDITION_SIGMA / (CONDITION_SIGMA + 1)
        return given_B1T11 * given + (1 - given_B1T11) * sigmas_B.view(-1, 1, 1, 1, 1)

    def _call(self, given_THWC: Frames, num_condition: int) -> dict[str, Any]:
        assert num_condition > 0, "the pipeline wants a frame"
        return {"video": self._unit_video(given_THWC), "num_frames": self.clip.frames, "fps": self.clip.fps}


class CosmosPredict2Image(CosmosPredict2):
    """A loaded Predict2 Text2Image checkpoint: clips of one frame."""

    pipeline = "Cosmos2TextToImagePipeline"
    tells_given = False
    tells_fps = False

    def _timestep(self, given_B1T11: torch.Tensor, sigmas_B: torch.Tensor) -> torch.Tensor:
        return sigmas_B

    def _call(self, given_THWC: Frames, num_condition: int) -> dict[str, Any]:
        assert num_condition == 0
        return {}

    def continue_clip(self, *arguments: Any, **settings: Any) -> torch.Tensor:
        """An image from the text, as latents (C, 1, h, w); see `CosmosFamily.continue_clip`."""
        return super().continue_clip(*arguments, **settings)[:, None]  # this pipeline returns no frames
