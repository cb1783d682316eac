"""Cosmos-Predict2.5 through diffusers: codecs, rectified-flow loss, and the pipeline's own sampler.

The text encoder is loaded only while prompts are encoded (7B parameters in the published checkpoint). Prompts are
kept behind the transformer's `crossattn_proj`, which no strategy here trains: 1 MB a prompt instead of 103 MB; the
transformer's own projection becomes the identity.

Source of the loss: cosmos-predict2.5 and `examples/cosmos/train_cosmos_predict25_lora.py` of diffusers; the
conditioning is that of `Cosmos2_5_PredictBasePipeline.__call__`.
"""

import gc
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from posttrain.data import ClipSpec
from posttrain.errors import ModelError
from posttrain.models.base import Frames, Noise
from posttrain.models.fingerprint import fingerprint, fingerprint_module
from posttrain.models.torchvision_shim import ensure_torchvision

# The timestep of frames that are given clean; `conditional_frame_timestep` of the pipeline.
CONDITION_TIMESTEP = 1e-4


class NoGuardrail:
    """Stands where the pipeline wants a safety checker while we train; the published guardrail is the user's to add."""

    def to(self, *_: object) -> "NoGuardrail":
        return self

    def check_text_safety(self, _: str) -> bool:
        return True

    def check_video_safety(self, frames: Any) -> Any:
        return frames


class CosmosPredict:
    """A loaded Predict2.5 checkpoint; implements `VideoFamily`."""

    def __init__(self, folder: Path, pipe: Any, clip: ClipSpec, max_sequence_length: int) -> None:
        self.folder = folder
        self.pipe = pipe
        self.clip = clip
        self.max_sequence_length = max_sequence_length
        self.transformer: torch.nn.Module = pipe.transformer
        self.device = torch.device(pipe.device)
        self.projection: torch.nn.Module = pipe.transformer.crossattn_proj
        pipe.transformer.crossattn_proj = torch.nn.Identity().eval()
        self._mean_C111 = pipe.latents_mean[0].to(self.device)
        self._scale_C111 = pipe.latents_std[0].to(self.device)  # this pipeline keeps 1/std under the name of std

    @classmethod
    def load(
        cls, folder: Path, clip: ClipSpec, *, max_sequence_length: int, dtype: torch.dtype, device: torch.device
    ) -> "CosmosPredict":
        """Reads a checkpoint folder in diffusers layout; the text encoder stays on disk.

        Raises:
            ModelError: a file is missing or unreadable, or the pipeline is of another class.
        """
        ensure_torchvision()
        from diffusers import Cosmos2_5_PredictBasePipeline

        _quiet()
        try:
            with torch.enable_grad():  # loading turns gradients off for the whole process; the block puts them back
                pipe = Cosmos2_5_PredictBasePipeline.from_pretrained(
                    folder,
                    text_encoder=None,
                    tokenizer=None,
                    safety_checker=NoGuardrail(),
                    # latents are float32 and shared by trials of any precision: the codec is read in float32 too
                    dtype={"vae": torch.float32, "default": dtype},
                    use_safetensors=True,
                    local_files_only=True,
                )
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"model.checkpoint: {folder} cannot be loaded: {error}") from error
        pipe.set_progress_bar_config(disable=True)
        pipe.to(device)
        for module in (pipe.transformer, pipe.vae):
            module.requires_grad_(False).eval()
        return cls(folder, pipe, clip, max_sequence_length)

    @property
    def modules(self) -> Mapping[str, torch.nn.Module]:
        """The transformer alone."""
        return {"transformer": self.transformer}

    def replace(self, name: str, module: torch.nn.Module) -> None:
        """Puts another transformer in place, in the pipeline too."""
        assert name == "transformer"
        self.transformer = module
        self.pipe.register_modules(transformer=module)

    @cached_property
    def weights_key(self) -> str:
        """Names the base weights that trials start from."""
        return fingerprint(self.folder / "transformer")

    @cached_property
    def latents_key(self) -> str:
        """Names everything that latents depend on besides the clip."""
        return f"{fingerprint(self.folder / 'vae')}-{self.clip}"

    @cached_property
    def prompts_key(self) -> str:
        """Names everything that prompt embeddings depend on besides the text."""
        parts = [fingerprint(self.folder / part) for part in ("text_encoder", "tokenizer")]
        return "-".join([*parts, fingerprint_module(self.projection), str(self.max_sequence_length)])

    @torch.no_grad()
    def encode_frames(self, frames_THWC: Frames) -> torch.Tensor:
        """Pixels to normalised latents, float32 (C, T, h, w) on the CPU."""
        posterior = self.pipe.vae.encode(self._pixels(frames_THWC)).latent_dist
        latents: torch.Tensor = (posterior.mode()[0] - self._mean_C111) * self._scale_C111
        return latents.cpu()

    @torch.no_grad()
    def decode_latents(self, latents_CThw: torch.Tensor) -> Frames:
        """Normalised latents to pixels, T = 4(T_latent - 1) + 1 frames."""
        latents = latents_CThw.to(self.device) / self._scale_C111 + self._mean_C111
        video_CTHW = self.pipe.vae.decode(latents[None]).sample[0]
        pixels = ((video_CTHW.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        frames: Frames = pixels.permute(1, 2, 3, 0).cpu().numpy()
        return frames

    @torch.no_grad()
    def encode_prompts(self, prompts: list[str]) -> list[torch.Tensor]:
        """Texts to projected embeddings (L, D) on the CPU; loads the text encoder for the time of the call.

        Raises:
            ModelError: the checkpoint lacks its text encoder or its tokenizer.
        """
        encoder, tokenizer = self._text_encoder()
        self.pipe.register_modules(text_encoder=encoder.to(self.device).eval(), tokenizer=tokenizer)
        try:
            return [self._embed(prompt) for prompt in prompts]
        finally:
            self.pipe.register_modules(text_encoder=None, tokenizer=None)
            del encoder
            gc.collect()

    def _text_encoder(self) -> tuple[Any, Any]:
        from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration

        try:
            encoder = Qwen2_5_VLForConditionalGeneration.from_pretrained(
                self.folder,
                subfolder="text_encoder",
                dtype=self.projection_dtype,
                use_safetensors=True,
                local_files_only=True,
            )
            tokenizer = AutoTokenizer.from_pretrained(self.folder, subfolder="tokenizer", local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(
                f"model.checkpoint: the text encoder of {self.folder} cannot be loaded: {error}"
            ) from error
        return encoder, tokenizer

    def _embed(self, prompt: str) -> torch.Tensor:
        embeds_1LD, _ = self.pipe.encode_prompt(
            prompt,
            do_classifier_free_guidance=False,
            max_sequence_length=self.max_sequence_length,
            device=self.device,
        )
        projected: torch.Tensor = self.projection(embeds_1LD)[0].cpu()
        return projected

    def loss(self, latents_BCThw: torch.Tensor, prompts_BLD: torch.Tensor, noise: Noise) -> torch.Tensor:
        """Rectified flow: mean squared error of the velocity over the frames that are not given, (B,), float32."""
        given_B1T11 = _given(latents_BCThw, noise)
        noisy = _noisy(latents_BCThw, noise, given_B1T11)
        velocity = self._velocity(noisy, prompts_BLD, given_B1T11, noise.sigmas_B)
        return _masked_mse(velocity, noise.noise_BCThw - latents_BCThw, given_B1T11)

    def scalar_floor(self, latents_BCThw: torch.Tensor, noise: Noise) -> torch.Tensor:
        """The loss per sample of v = a * x_t with the best a, (B,): no look at structure, prompt or first frame."""
        given_B1T11 = _given(latents_BCThw, noise)
        noisy = _noisy(latents_BCThw, noise, given_B1T11) * (1 - given_B1T11)
        target = (noise.noise_BCThw - latents_BCThw) * (1 - given_B1T11)
        scale = (noisy * target).flatten(1).sum(1) / (noisy**2).flatten(1).sum(1)
        return _masked_mse(noisy * scale.view(-1, 1, 1, 1, 1), target, given_B1T11)

    def _velocity(
        self, noisy: torch.Tensor, prompts_BLD: torch.Tensor, given_B1T11: torch.Tensor, sigmas_B: torch.Tensor
    ) -> torch.Tensor:
        dtype = self.projection_dtype
        *_, height, width = noisy.shape
        mask_B1Thw = given_B1T11.expand(-1, -1, -1, height, width)
        timestep_B1T11 = given_B1T11 * CONDITION_TIMESTEP + (1 - given_B1T11) * sigmas_B.view(-1, 1, 1, 1, 1)
        scale = self.pipe.vae_scale_factor_spatial
        # fps is left out: the pipeline never passes it, and a rotary embedding trained with it would not fit
        velocity: torch.Tensor = self.transformer(
            hidden_states=noisy.to(dtype),
            condition_mask=mask_B1Thw.to(dtype),
            timestep=timestep_B1T11,
            encoder_hidden_states=prompts_BLD.to(dtype),
            padding_mask=noisy.new_zeros(1, 1, height * scale, width * scale, dtype=dtype),
            return_dict=False,
        )[0]
        return velocity.float()

    @property
    def projection_dtype(self) -> torch.dtype:
        """The dtype the frozen weights are held in; adapters may be wider."""
        return next(self.projection.parameters()).dtype

    @torch.no_grad()
    def continue_clip(
        self, frames_THWC: Frames, prompt_LD: torch.Tensor, *, steps: int, seed: int, num_condition: int = 1
    ) -> torch.Tensor:
        """Continues the first `num_condition` latent frames with the pipeline's sampler; latents (C, T, h, w)."""
        was_training = self.transformer.training
        self.transformer.eval()
        given = 4 * (num_condition - 1) + 1
        try:
            latents_1CThw: torch.Tensor = self.pipe(
                video=self._pixels(frames_THWC[:given]),
                prompt_embeds=prompt_LD[None].to(self.device, self.projection_dtype),
                height=self.clip.height,
                width=self.clip.width,
                num_frames=self.clip.frames,
                num_latent_conditional_frames=num_condition,
                num_inference_steps=steps,
                guidance_scale=0.0,
                generator=torch.Generator().manual_seed(seed),
                max_sequence_length=self.max_sequence_length,
                output_type="latent",
                return_dict=False,
            )[0]
        finally:
            self.transformer.train(was_training)
        return latents_1CThw[0].float().cpu()

    def _pixels(self, frames_THWC: Frames) -> torch.Tensor:
        video_CTHW = torch.from_numpy(frames_THWC).to(self.device).permute(3, 0, 1, 2).float() / 127.5 - 1
        return video_CTHW[None]


def _quiet() -> None:
    """Loading bars and warnings of the libraries would tear the live table apart."""
    import diffusers
    import transformers

    for library in (diffusers, transformers):
        library.utils.logging.disable_progress_bar()
        library.utils.logging.set_verbosity_error()


def draw_sigmas(num: int, shift: float, generator: torch.Generator) -> torch.Tensor:
    """Logit-normal noise levels pushed towards 1 by `shift`: s = shift u / (1 + (shift - 1) u), u = sigmoid(N(0,1))."""
    u = torch.sigmoid(torch.randn(num, generator=generator))
    return shift * u / (1 + (shift - 1) * u)


def _given(latents_BCThw: torch.Tensor, noise: Noise) -> torch.Tensor:
    num_frames = latents_BCThw.shape[2]
    frames_T = torch.arange(num_frames, device=latents_BCThw.device)
    return (frames_T[None] < noise.num_condition_B[:, None]).to(latents_BCThw.dtype).view(-1, 1, num_frames, 1, 1)


def _noisy(latents_BCThw: torch.Tensor, noise: Noise, given_B1T11: torch.Tensor) -> torch.Tensor:
    sigma = noise.sigmas_B.view(-1, 1, 1, 1, 1)
    noisy = (1 - sigma) * latents_BCThw + sigma * noise.noise_BCThw
    return given_B1T11 * latents_BCThw + (1 - given_B1T11) * noisy


def _masked_mse(prediction: torch.Tensor, target: torch.Tensor, given_B1T11: torch.Tensor) -> torch.Tensor:
    error = (prediction - target) ** 2 * (1 - given_B1T11)
    _, channels, _, height, width = prediction.shape
    counted = (1 - given_B1T11).flatten(1).sum(1) * channels * height * width
    return error.flatten(1).sum(1) / counted
