"""What the Cosmos families share: codecs, keys, the course of a loss, and the call of the pipeline's own sampler.

A generation adds what is its own: its pipeline and text encoder, how noise is mixed in and what is predicted
(`_task`), which timestep the network is told (`_timestep`), and how the pipeline is asked to continue a clip
(`_given_frames`).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self

import torch

from posttrain.data import ClipSpec
from posttrain.models.base import Frames
from posttrain.models.catalog import Generation
from posttrain.models.encoding_files import EncodingFiles
from posttrain.models.fingerprint import fingerprint
from posttrain.models.folders import read_tensors, write_diffusers
from posttrain.models.given_frames import known_to
from posttrain.models.loading import evaluating, load_pipeline
from posttrain.models.noise import Noise, NoiseLevels, best_scaling_error, given_mask, masked_mse
from posttrain.models.prompts import Prompts


class CosmosFamily(ABC):
    """A loaded checkpoint; implements `VideoFamily` but for what a generation adds.

    Class attributes:
        pipeline: the pipeline's class in diffusers.
        prompts_class: the text side.
        noise_levels: the published distribution of noise levels.
        tells_given: the network reads a mask of the given frames as one more channel.
        tells_fps: the pipeline passes the frame rate to the rotary embedding; a network trained without it would
            sample another motion.
    """

    pipeline: ClassVar[str]
    prompts_class: ClassVar[type[Prompts]]
    noise_levels: NoiseLevels
    tells_given: ClassVar[bool] = True
    tells_fps: ClassVar[bool] = True
    controls: Mapping[str, float] = MappingProxyType({})

    def __init__(
        self,
        folder: Path,
        pipe: Any,
        generation: Generation,
        clip: ClipSpec,
        max_sequence_length: int,
        dtype: torch.dtype,
    ) -> None:
        self.folder = folder
        self.pipe = pipe
        self.clip = clip
        self.max_sequence_length = max_sequence_length
        self.dtype = dtype  # of the frozen weights; adapters may be wider
        self.device = torch.device(pipe.device)
        self.generation = generation
        self.conditioning: Mapping[int, float] = generation.conditioning
        self.num_given = generation.num_given
        self.prompts = self.prompts_class(folder, pipe, max_sequence_length, dtype)
        self._mean, self._scale = self._statistics()

    @classmethod
    def load(
        cls,
        folder: Path,
        generation: Generation,
        clip: ClipSpec,
        *,
        max_sequence_length: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> Self:
        """Reads a checkpoint folder in diffusers layout; the text encoder stays on disk.

        Raises:
            ModelError: a file is missing or unreadable, or the pipeline is of another class.
        """
        pipe = load_pipeline(cls.pipeline, folder, dtype, device)
        return cls(folder, pipe, generation, clip, max_sequence_length, dtype)

    @property
    def transformer(self) -> torch.nn.Module:
        """The network that predicts."""
        module: torch.nn.Module = self.pipe.transformer
        return module

    @property
    def modules(self) -> Mapping[str, torch.nn.Module]:
        """The trainable networks by their folder in the checkpoint."""
        return {"transformer": self.transformer}

    @property
    def control_names(self) -> tuple[str, ...]:
        """The controls that it takes, in the order of K."""
        return tuple(self.controls)

    def replace(self, name: str, module: torch.nn.Module) -> None:
        """Puts another network in the place of `modules[name]`, for the loss and for the sampler."""
        assert name in self.modules
        self.pipe.register_modules(**{name: module})

    def published_state(self, name: str) -> dict[str, torch.Tensor]:
        """The weights of `modules[name]` as the files of the checkpoint hold them, under their names there."""
        state = dict(self.modules[name].state_dict())
        return {**state, **self.prompts.taken} if name == "transformer" else state

    def write(self, name: str, network: torch.nn.Module, state: Mapping[str, torch.Tensor], folder: Path) -> None:
        """Writes `<folder>/<name>` in diffusers layout, with the weights that were taken out put back."""
        published = {**self.published_state(name), **state}
        write_diffusers(network, {key: value.float() for key, value in published.items()}, folder / name)

    def read(self, name: str, folder: Path) -> dict[str, torch.Tensor]:
        """The weights that `write` wrote, under their names in `modules[name]`."""
        own = self.modules[name].state_dict().keys()
        return {key: value for key, value in read_tensors(folder / name).items() if key in own}

    @cached_property
    def weights_key(self) -> str:
        """Names the base weights that trials start from."""
        return "-".join(fingerprint(self.folder / name) for name in self.modules)

    @cached_property
    def latents_key(self) -> str:
        """Names everything that latents depend on besides the clip."""
        sigma_data = self.pipe.scheduler.config.get("sigma_data", 1.0)  # some pipelines scale by it
        return f"{fingerprint(self.folder / 'vae')}-{sigma_data}-{self.clip.pixels}"

    @property
    def prompts_key(self) -> str:
        """Names everything that prompt embeddings depend on besides the text."""
        return self.prompts.key

    @property
    def latents_bytes(self) -> int:
        """The size of the latents of one clip, float32."""
        clip, scale = self.clip, self.pipe.vae_scale_factor_spatial
        num_latents = (clip.frames - 1) // self.pipe.vae_scale_factor_temporal + 1
        return int(4 * len(self._mean) * num_latents * (clip.height // scale) * (clip.width // scale))

    @property
    def prompt_bytes(self) -> int:
        """The size of one prompt's embedding, in the precision of the weights."""
        return self.dtype.itemsize * self.max_sequence_length * self.prompts.width

    @abstractmethod
    def _statistics(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and 1 / std of the codec's latents, each (C, 1 or T, 1, 1); normalised = (latents - mean) * scale."""

    @torch.no_grad()
    def encode_frames(self, frames_THWC: Frames) -> torch.Tensor:
        """Pixels to normalised latents, float32 (C, T, h, w) on the CPU."""
        latents = self.pipe.vae.encode(self._pixels(frames_THWC)).latent_dist.mode()[0]
        num_frames = latents.shape[1]
        normalised: torch.Tensor = (latents - self._mean[:, :num_frames]) * self._scale[:, :num_frames]
        return normalised.cpu()

    @torch.no_grad()
    def decode_latents(self, latents_CThw: torch.Tensor) -> Frames:
        """Normalised latents to pixels, T = frames_per_latent * (T_latent - 1) + 1 frames."""
        num_frames = latents_CThw.shape[1]
        latents = latents_CThw.to(self.device) / self._scale[:, :num_frames] + self._mean[:, :num_frames]
        video_CTHW = self.pipe.vae.decode(latents[None]).sample[0]
        pixels = ((video_CTHW.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        frames: Frames = pixels.permute(1, 2, 3, 0).cpu().numpy()
        return frames

    def encode_prompts(self, prompts: list[str]) -> list[torch.Tensor]:
        """Texts to what cross-attention reads, (L, D) each on the CPU; see `Prompts.encode`."""
        return self.prompts.encode(prompts)

    def loss(
        self,
        latents_BCThw: torch.Tensor,
        prompts_BLD: torch.Tensor,
        noise: Noise,
        controls_BKCThw: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Mean squared error of the prediction over the frames that are not given, (B,), float32."""
        assert controls_BKCThw is None
        given_B1T11 = given_mask(latents_BCThw, noise)
        inputs, target = self._task(latents_BCThw, noise, given_B1T11)
        conditions = self._conditions(inputs, prompts_BLD, given_B1T11, noise.sigmas_B)
        return masked_mse(self._answer(inputs, conditions), target, given_B1T11)

    def scalar_floor(self, latents_BCThw: torch.Tensor, noise: Noise) -> torch.Tensor:
        """The loss per sample of target = a * input with the best a, (B,): no look at structure, prompt or frames."""
        given_B1T11 = given_mask(latents_BCThw, noise)
        inputs, target = self._task(latents_BCThw, noise, given_B1T11)
        return best_scaling_error(inputs, target, given_B1T11)

    @abstractmethod
    def _task(
        self, latents_BCThw: torch.Tensor, noise: Noise, given_B1T11: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What the network reads and what it should answer, both (B, C, T, h, w)."""

    @abstractmethod
    def _timestep(self, given_B1T11: torch.Tensor, sigmas_B: torch.Tensor) -> torch.Tensor:
        """What the network is told of the noise level, (B,) or (B, 1, T, 1, 1)."""

    def _conditions(
        self, inputs: torch.Tensor, prompts_BLD: torch.Tensor, given_B1T11: torch.Tensor, sigmas_B: torch.Tensor
    ) -> dict[str, Any]:
        """What the pipeline tells its networks besides the latents."""
        *_, height, width = inputs.shape
        scale = self.pipe.vae_scale_factor_spatial
        conditions: dict[str, Any] = {
            "timestep": self._timestep(given_B1T11, sigmas_B),
            "encoder_hidden_states": self._context(prompts_BLD),
            "padding_mask": inputs.new_zeros(1, 1, height * scale, width * scale, dtype=self.dtype),
        }
        if self.tells_given:
            conditions["condition_mask"] = given_B1T11.expand(-1, -1, -1, height, width).to(self.dtype)
        if self.tells_fps:
            conditions["fps"] = self.clip.fps
        return conditions

    def _context(self, prompts_BLD: torch.Tensor) -> Any:
        """What cross-attention reads."""
        return prompts_BLD.to(self.dtype)

    def _answer(self, inputs: torch.Tensor, conditions: dict[str, Any], **more: Any) -> torch.Tensor:
        """The transformer's answer in float32."""
        answer: torch.Tensor = self.transformer(
            hidden_states=inputs.to(self.dtype), return_dict=False, **conditions, **more
        )[0]
        return answer.float()

    @torch.no_grad()
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
        """Continues the first `num_condition` latent frames with the pipeline's sampler; latents (C, T, h, w)."""
        assert controls_KCThw is None
        num_condition = self.num_given if num_condition is None else num_condition
        call = self._call(frames_THWC[: self.num_frames(num_condition)], num_condition)
        with evaluating(self.modules.values()), known_to(self.pipe.vae, self.latents_key, EncodingFiles(0)):
            latents: torch.Tensor = self.pipe(
                **call,
                prompt_embeds=prompt_LD[None].to(self.device, self.dtype),
                height=self.clip.height,
                width=self.clip.width,
                num_inference_steps=steps,
                guidance_scale=0.0,
                generator=torch.Generator().manual_seed(seed),
                max_sequence_length=self.max_sequence_length,
                output_type="latent",
                return_dict=False,
            )[0]
        return latents[0].float().cpu()

    @abstractmethod
    def _call(self, given_THWC: Frames, num_condition: int) -> dict[str, Any]:
        """The pipeline's arguments for continuing `given_THWC`, without those that all pipelines share."""

    def num_frames(self, num_latent: int) -> int:
        """The frames that `num_latent` latent frames stand for."""
        return max(0, self.generation.frames_per_latent * (num_latent - 1) + 1)

    def _pixels(self, frames_THWC: Frames) -> torch.Tensor:
        """(1, 3, T, H, W) in -1..1 on the device."""
        video_CTHW = torch.from_numpy(frames_THWC).to(self.device).permute(3, 0, 1, 2).float() / 127.5 - 1
        return video_CTHW[None]

    def _unit_video(self, frames_THWC: Frames) -> torch.Tensor:
        """(1, T, 3, H, W) in 0..1: what diffusers' video processor takes for a video of any other range."""
        return torch.from_numpy(frames_THWC).to(self.device).permute(0, 3, 1, 2)[None].float() / 255


def per_channel(values: list[float], num_channels: int, device: torch.device) -> torch.Tensor:
    """A codec's statistics as (C, 1 or T, 1, 1); some codecs keep them for each latent frame."""
    return torch.tensor(values, device=device).view(num_channels, -1, 1, 1)
