"""Cosmos-Predict2.5: rectified flow, the first frames given clean with a timestep of their own.

Source of the loss: cosmos-predict2.5 and `examples/cosmos/train_cosmos_predict25_lora.py` of diffusers; the
conditioning is that of `Cosmos2_5_PredictBasePipeline.__call__`.
"""

import math
from typing import Any

import torch

from posttrain.models.base import Frames
from posttrain.models.cosmos_base import CosmosFamily
from posttrain.models.noise import Noise, NoiseLevels, mixed
from posttrain.models.prompts import QwenPrompts

# The timestep of frames that are given clean; `conditional_frame_timestep` of the pipeline.
CONDITION_TIMESTEP = 1e-4


class CosmosPredict25(CosmosFamily):
    """A loaded Predict2.5 checkpoint."""

    pipeline = "Cosmos2_5_PredictBasePipeline"
    prompts_class = QwenPrompts
    noise_levels = NoiseLevels(mean=math.log(5.0))  # flow shift 5
    tells_fps = False

    def _statistics(self) -> tuple[torch.Tensor, torch.Tensor]:
        # this pipeline keeps 1/std under the name of std
        return self.pipe.latents_mean[0].to(self.device), self.pipe.latents_std[0].to(self.device)

    def _task(
        self, latents_BCThw: torch.Tensor, noise: Noise, given_B1T11: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return mixed(latents_BCThw, noise, given_B1T11), noise.noise_BCThw - latents_BCThw

    def _timestep(self, given_B1T11: torch.Tensor, sigmas_B: torch.Tensor) -> torch.Tensor:
        return given_B1T11 * CONDITION_TIMESTEP + (1 - given_B1T11) * sigmas_B.view(-1, 1, 1, 1, 1)

    def _call(self, given_THWC: Frames, num_condition: int) -> dict[str, Any]:
        call: dict[str, Any] = {"num_frames": self.clip.frames}
        if num_condition:  # else the pipeline samples from the text alone
            call.update(video=self._pixels(given_THWC), num_latent_conditional_frames=num_condition)
        return call
