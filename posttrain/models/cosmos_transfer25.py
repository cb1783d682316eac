"""Cosmos-Transfer2.5: rectified flow with a ControlNet that reads control clips beside the noisy latents.

    control clips --codec--> control latents --ControlNet, once for each--> block outputs --weighted sum--> transformer

Source of the loss: cosmos-transfer2.5 (`vid2vid_model_control_vace_rectified_flow.py`); the conditioning is that of
`Cosmos2_5_TransferPipeline.__call__`. That pipeline takes one control: for several, a stand-in for its ControlNet gives
the same sum that the loss uses.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import torch

from posttrain.data import ClipSpec
from posttrain.errors import ModelError
from posttrain.models.base import Frames
from posttrain.models.catalog import DEFAULT_CONTROLS, Generation
from posttrain.models.cosmos_base import CosmosFamily
from posttrain.models.fingerprint import fingerprint_module
from posttrain.models.noise import Noise, NoiseLevels, given_mask, masked_mse, mixed
from posttrain.models.prompts import QwenPrompts, projection_width

# The timestep of frames that are given clean; `conditional_frame_timestep` of the pipeline.
CONDITION_TIMESTEP = 0.1


class Slice(torch.nn.Module):
    """The first `width` channels, or the last: what one of two networks reads of a cached prompt."""

    def __init__(self, width: int, *, last: bool) -> None:
        super().__init__()
        self.width = width
        self.last = last

    def forward(self, prompts_BLD: torch.Tensor) -> torch.Tensor:
        return prompts_BLD[..., -self.width :] if self.last else prompts_BLD[..., : self.width]


class TransferPrompts(QwenPrompts):
    """Qwen2.5-VL behind the projections of both networks.

    Published checkpoints hold the same projection twice, so one embedding serves both; where they differ, the two lie
    side by side, and each network reads its own part.
    """

    def __init__(self, folder: Path, pipe: Any, max_sequence_length: int, dtype: torch.dtype) -> None:
        super().__init__(folder, pipe, max_sequence_length, dtype)
        if not isinstance(pipe.controlnet.crossattn_proj, torch.nn.Module):
            raise ModelError(f"model.checkpoint: {folder / 'controlnet'} has no crossattn_proj; fetch it again")
        self.control_projection: torch.nn.Module = pipe.controlnet.crossattn_proj
        self.shared = fingerprint_module(self.projection) == fingerprint_module(self.control_projection)
        pipe.transformer.crossattn_proj = Slice(projection_width(self.projection), last=False).eval()
        pipe.controlnet.crossattn_proj = Slice(projection_width(self.control_projection), last=True).eval()

    @cached_property
    def key(self) -> str:
        """Names everything that embeddings depend on besides the text."""
        return super().key if self.shared else f"{super().key}-{fingerprint_module(self.control_projection)}"

    @property
    def width(self) -> int:
        """D, of one projection or of both side by side."""
        return super().width + (0 if self.shared else projection_width(self.control_projection))

    @property
    def taken_from_controlnet(self) -> dict[str, torch.Tensor]:
        """The ControlNet's projection, by its names in the ControlNet's file."""
        return {f"crossattn_proj.{name}": value for name, value in self.control_projection.state_dict().items()}

    def _embed(self, prompt: str) -> torch.Tensor:
        raw_1LE = self._pipeline_embeds(prompt)
        read = [self.projection] if self.shared else [self.projection, self.control_projection]
        embeds: torch.Tensor = torch.cat([projection(raw_1LE)[0] for projection in read], dim=-1)
        return embeds


class CosmosTransfer25(CosmosFamily):
    """A loaded Transfer2.5 checkpoint; `controls` are the weights of the controls by name, in the order of K."""

    pipeline = "Cosmos2_5_TransferPipeline"
    prompts_class = TransferPrompts
    noise_levels = NoiseLevels(mean=math.log(5.0))  # flow shift 5
    tells_fps = False
    prompts: TransferPrompts

    def __init__(self, folder: Path, pipe: Any, generation: Generation, clip: ClipSpec, *more: Any) -> None:
        super().__init__(folder, pipe, generation, clip, *more)
        self._controlnet: torch.nn.Module = pipe.controlnet
        self.controls = dict(DEFAULT_CONTROLS)

    @classmethod
    def load(cls, *args: Any, controls: Mapping[str, float] | None = None, **more: Any) -> Self:
        """Reads a checkpoint folder; see `CosmosFamily.load`."""
        family = super().load(*args, **more)
        family.controls = dict(controls or DEFAULT_CONTROLS)
        return family

    @property
    def controlnet(self) -> torch.nn.Module:
        """The network that reads controls."""
        return self._controlnet

    @property
    def modules(self) -> Mapping[str, torch.nn.Module]:
        """The trainable networks by their folder in the checkpoint."""
        return {"transformer": self.transformer, "controlnet": self.controlnet}

    def replace(self, name: str, module: torch.nn.Module) -> None:
        """Puts another network in the place of `modules[name]`, for the loss and for the sampler."""
        super().replace(name, module)
        if name == "controlnet":
            self._controlnet = module

    def published_state(self, name: str) -> dict[str, torch.Tensor]:
        """The weights of `modules[name]` as the files of the checkpoint hold them, under their names there."""
        state = super().published_state(name)
        return {**state, **self.prompts.taken_from_controlnet} if name == "controlnet" else state

    def _statistics(self) -> tuple[torch.Tensor, torch.Tensor]:
        # this pipeline keeps std under its name; that of Predict2.5 keeps 1/std
        return self.pipe.latents_mean[0].to(self.device), 1.0 / self.pipe.latents_std[0].to(self.device)

    def loss(
        self,
        latents_BCThw: torch.Tensor,
        prompts_BLD: torch.Tensor,
        noise: Noise,
        controls_BKCThw: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Mean squared error of the velocity over the frames that are not given, (B,), float32."""
        assert controls_BKCThw is not None, "Transfer is trained with controls"
        given_B1T11 = given_mask(latents_BCThw, noise)
        inputs, target = self._task(latents_BCThw, noise, given_B1T11)
        conditions = self._conditions(inputs, prompts_BLD, given_B1T11, noise.sigmas_B)
        blocks = self.control_blocks(controls_BKCThw, latents=inputs.to(self.dtype), **conditions)
        prediction = self._answer(inputs, conditions, block_controlnet_hidden_states=blocks)
        return masked_mse(prediction, target, given_B1T11)

    def control_blocks(self, controls_BKCThw: torch.Tensor, **call: Any) -> list[torch.Tensor]:
        """The ControlNet's block outputs for each control, summed with the weights; `call` goes to the ControlNet."""
        assert controls_BKCThw.shape[1] == len(self.controls)
        summed: list[torch.Tensor] = []
        for controls_BCThw, weight in zip(controls_BKCThw.unbind(1), self.controls.values(), strict=True):
            (blocks,) = self.controlnet(
                controls_latents=controls_BCThw.to(self.dtype),
                conditioning_scale=weight,
                return_dict=False,
                **call,
            )
            summed = [one + other for one, other in zip(summed, blocks, strict=True)] if summed else blocks
        return summed

    def _task(
        self, latents_BCThw: torch.Tensor, noise: Noise, given_B1T11: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return mixed(latents_BCThw, noise, given_B1T11), noise.noise_BCThw - latents_BCThw

    def _timestep(self, given_B1T11: torch.Tensor, sigmas_B: torch.Tensor) -> torch.Tensor:
        return given_B1T11 * CONDITION_TIMESTEP + (1 - given_B1T11) * sigmas_B.view(-1, 1, 1, 1, 1)

    def _context(self, prompts_BLD: torch.Tensor) -> Any:
        """With the image context, which the pipeline leaves empty, where the checkpoint has a place for it."""
        prompts_BLD = prompts_BLD.to(self.dtype)
        config: Any = self.pipe.transformer.config
        if not config.img_context_dim_in:
            return prompts_BLD
        shape = (len(prompts_BLD), config.img_context_num_tokens, config.img_context_dim_in)
        return prompts_BLD, prompts_BLD.new_zeros(shape)

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
        """Samples a clip from its caption and its controls with the pipeline's sampler; latents (C, T, h, w).

        Nothing of `frames_THWC` is given: the pipeline gives frames to the chunks after the first alone.
        """
        assert controls_KCThw is not None, "Transfer is sampled with controls"
        assert not num_condition, "the pipeline's first chunk is given no frame"
        with self._controlled_by(controls_KCThw[None].to(self.device)):
            return super().continue_clip(frames_THWC, prompt_LD, steps=steps, seed=seed, num_condition=0)

    def _call(self, given_THWC: Frames, num_condition: int) -> dict[str, Any]:
        frames = self.clip.frames
        # what the pipeline encodes of it is not read: `_controlled_by` puts the cached encodings in its place
        unread = torch.zeros(1, frames, 3, self.clip.height, self.clip.width)
        return {"controls": unread, "num_frames": frames, "num_frames_per_chunk": frames}

    @contextmanager
    def _controlled_by(self, controls_1KCThw: torch.Tensor) -> Iterator[None]:
        """Inside the block the pipeline's ControlNet is the weighted sum over these controls."""

        def summed(*, controls_latents: Any, conditioning_scale: Any, return_dict: Any, **call: Any) -> Any:
            return (self.control_blocks(controls_1KCThw, **call),)

        self.pipe.register_modules(controlnet=summed)
        try:
            yield
        finally:
            self.pipe.register_modules(controlnet=self.controlnet)
