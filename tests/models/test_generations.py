"""Predict2 and Predict1 against plain diffusers: latents, prompts, loss, and the sampler.

The losses are written out once more in the terms of the papers: a denoiser, and the weight of its error.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from posttrain.config import ModelConfig
from posttrain.data import decode, demo
from posttrain.data.captions import read_caption
from posttrain.errors import ModelError
from posttrain.evaluation.continuation import psnr
from posttrain.models import load_family, tiny
from posttrain.models.base import Frames, Noise
from posttrain.models.catalog import TINY
from posttrain.models.cosmos_base import CosmosFamily
from tests.plain_diffusers import plain_pipeline

NAMES = ["tiny:predict2", "tiny:predict2-t2i", "tiny:predict1", "tiny:predict1-t2w"]
NEEDS_FRAMES = ["tiny:predict2", "tiny:predict1"]
CPU = torch.device("cpu")


def load(checkpoint: str, precision: str = "fp32", **more: Any) -> CosmosFamily:
    family = load_family(ModelConfig(checkpoint=checkpoint, **more), precision, Path(), CPU)
    assert isinstance(family, CosmosFamily)
    return family


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def family(name: str) -> CosmosFamily:
    return load(name)


@pytest.fixture(scope="module")
def plain(name: str) -> Any:
    return plain_pipeline(tiny.resolve(name))


@pytest.fixture(scope="module")
def clips(family: CosmosFamily) -> list[tuple[Frames, str]]:
    root = demo.resolve("shapes/fixed-high")
    videos = sorted((root / "videos").iterdir())[:3]
    return [(decode(video, family.clip), read_caption(root / "captions" / f"{video.stem}.json")[0]) for video in videos]


@pytest.fixture(scope="module")
def latents(family: CosmosFamily, clips: list[tuple[Frames, str]]) -> torch.Tensor:
    return torch.stack([family.encode_frames(frames) for frames, _ in clips])


@pytest.fixture(scope="module")
def prompts(family: CosmosFamily, clips: list[tuple[Frames, str]]) -> torch.Tensor:
    return torch.stack(family.encode_prompts([caption for _, caption in clips]))


@pytest.fixture
def noise(family: CosmosFamily, latents: torch.Tensor) -> Noise:
    eps = torch.randn(latents.shape, generator=torch.Generator().manual_seed(1))
    given = torch.tensor([0, 1, 2]) if family.num_given else torch.zeros(3, dtype=torch.long)
    return Noise(torch.tensor([0.3, 0.6, 0.9]), eps, given)


@contextmanager
def calls(transformer: torch.nn.Module) -> Iterator[list[dict[str, Any]]]:
    """The keyword arguments of every call of the transformer inside the block."""
    seen: list[dict[str, Any]] = []
    hook = transformer.register_forward_pre_hook(lambda _, __, kwargs: seen.append(kwargs), with_kwargs=True)
    try:
        yield seen
    finally:
        hook.remove()


@torch.no_grad()
def test_prompts_are_the_pipelines_and_the_text_encoder_leaves(
    family: CosmosFamily, plain: Any, clips: list[tuple[Frames, str]], prompts: torch.Tensor
) -> None:
    for (_, caption), prompt in zip(clips, prompts, strict=True):
        theirs, _ = plain.encode_prompt(caption, do_classifier_free_guidance=False, max_sequence_length=64)
        assert torch.equal(prompt, theirs[0])
    num_tokens = len(plain.tokenizer(clips[0][1]).input_ids)
    assert num_tokens < 64
    assert bool((prompts[0, num_tokens:] == 0).all()), "padding reads as nothing"
    assert family.pipe.text_encoder is None
    assert family.pipe.tokenizer is None


def test_decoding_undoes_encoding(family: CosmosFamily, clips: list[tuple[Frames, str]], latents: torch.Tensor) -> None:
    for (frames, _), clean in zip(clips, latents, strict=True):
        decoded = family.decode_latents(clean)
        assert decoded.shape == frames.shape
        assert psnr(decoded, frames) > 16  # Predict1 keeps a hundredth of the numbers
        assert psnr(decoded, np.roll(frames, 8, axis=2)) < psnr(decoded, frames) - 3
    assert 0.6 < float(latents.std()) / family.noise_levels.data_std < 1.4


@torch.no_grad()
@pytest.mark.parametrize("name", NEEDS_FRAMES, indirect=True)
def test_latents_are_the_pipelines_own_conditioning(
    name: str, family: CosmosFamily, plain: Any, clips: list[tuple[Frames, str]], latents: torch.Tensor
) -> None:
    video = torch.from_numpy(np.moveaxis(clips[0][0], -1, 0).astype(np.float32))[None] / 127.5 - 1
    size = {"height": 32, "width": 32, "num_frames": family.clip.frames}
    generator = torch.Generator().manual_seed(0)
    prepared = plain.prepare_latents(video, 1, 16, **size, dtype=torch.float32, device=CPU, generator=generator)
    # Wan's posterior is sampled with a std of e^-10; the shipped codec keeps 16 bits
    torch.testing.assert_close(latents[:1], prepared[1], rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", NEEDS_FRAMES, indirect=True)
def test_first_latents_do_not_see_later_frames(
    name: str, family: CosmosFamily, clips: list[tuple[Frames, str]], latents: torch.Tensor
) -> None:
    for num_latent in (1, 2):
        some = family.encode_frames(clips[0][0][: family.num_frames(num_latent)])
        torch.testing.assert_close(some, latents[0, :, :num_latent], rtol=1e-5, atol=1e-5)


def predict2_error(plain: Any, clean: torch.Tensor, eps: torch.Tensor, t: float, given: int, **call: Any) -> Any:
    """Denoiser c_skip x + c_out F with weight (1 + s)^2 / s^2; the given frames clean, told by their own timestep."""
    sigma = t / (1 - t)
    noisy = clean + sigma * eps
    inputs = noisy / (1 + sigma)
    inputs[:, :, :given] = clean[:, :, :given]
    timestep = torch.full((1, 1, clean.shape[2], 1, 1), sigma / (1 + sigma))
    timestep[:, :, :given] = 1e-4 / (1 + 1e-4)
    answer = plain.transformer(inputs, timestep, **call).sample
    denoised = noisy / (1 + sigma) - sigma / (1 + sigma) * answer
    return ((1 + sigma) / sigma) ** 2 * ((denoised - clean)[:, :, given:] ** 2).mean()


def predict2_image_error(plain: Any, clean: torch.Tensor, eps: torch.Tensor, t: float, given: int, **call: Any) -> Any:
    sigma = t / (1 - t)
    noisy = clean + sigma * eps
    answer = plain.transformer(noisy / (1 + sigma), torch.tensor([t]), **call).sample
    denoised = noisy / (1 + sigma) - sigma / (1 + sigma) * answer
    return ((1 + sigma) / sigma) ** 2 * ((denoised - clean) ** 2).mean()


def predict1_error(plain: Any, clean: torch.Tensor, eps: torch.Tensor, t: float, given: int, **call: Any) -> Any:
    """The scheduler's own preconditioning with EDM's weight; given frames carry the pipeline's augmentation."""
    scheduler, sigma = plain.scheduler, torch.tensor([t / (1 - t)])
    noisy = clean + sigma * eps
    inputs = scheduler.precondition_inputs(noisy, sigma)
    augmented = (clean + 0.001 * eps)[:, :, :given]
    inputs[:, :, :given] = scheduler.precondition_inputs(augmented, torch.tensor(0.001))
    answer = plain.transformer(inputs, scheduler.precondition_noise(sigma), **call).sample
    denoised = scheduler.precondition_outputs(noisy, answer, sigma)
    weight = (sigma**2 + 0.5**2) / (sigma * 0.5) ** 2
    return (weight * ((denoised - clean)[:, :, given:] ** 2).mean()).squeeze()


ERRORS: dict[str, Callable[..., Any]] = {
    "tiny:predict2": predict2_error,
    "tiny:predict2-t2i": predict2_image_error,
    "tiny:predict1": predict1_error,
    "tiny:predict1-t2w": predict1_error,
}


@torch.no_grad()
def test_it_is_the_published_objective(
    name: str, family: CosmosFamily, plain: Any, latents: torch.Tensor, prompts: torch.Tensor, noise: Noise
) -> None:
    ours = family.loss(latents, prompts, noise)
    for i in range(3):
        given = int(noise.num_condition_B[i])
        clean, eps = latents[i : i + 1], noise.noise_BCThw[i : i + 1]
        call: dict[str, Any] = {"encoder_hidden_states": prompts[i : i + 1], "padding_mask": torch.zeros(1, 1, 32, 32)}
        if name != "tiny:predict2-t2i":
            call["fps"] = 8
        if family.num_given:
            call["condition_mask"] = torch.zeros(1, 1, *clean.shape[2:])
            call["condition_mask"][:, :, :given] = 1
        theirs = ERRORS[name](plain, clean, eps, float(noise.sigmas_B[i]), given, **call)
        torch.testing.assert_close(ours[i], theirs, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_given_frames_are_out_of_the_loss_and_samples_apart(
    family: CosmosFamily, latents: torch.Tensor, prompts: torch.Tensor, noise: Noise
) -> None:
    expected = family.loss(latents, prompts, noise)
    alone = Noise(noise.sigmas_B[1:2], noise.noise_BCThw[1:2], noise.num_condition_B[1:2])
    torch.testing.assert_close(family.loss(latents[1:2], prompts[1:2], alone), expected[1:2], rtol=1e-5, atol=1e-6)

    def spoil_given(_: Any, __: Any, output: Any) -> Any:
        answer = output[0].clone()
        for i, given in enumerate(noise.num_condition_B):
            answer[i, :, :given] += 100
        return (answer,)

    hook = family.transformer.register_forward_hook(spoil_given)
    assert torch.equal(family.loss(latents, prompts, noise), expected)
    hook.remove()


@torch.no_grad()
def test_scalar_floor_is_the_best_scaling_of_the_input(
    family: CosmosFamily, latents: torch.Tensor, prompts: torch.Tensor, noise: Noise
) -> None:
    floor = family.scalar_floor(latents, noise)
    for scale in torch.linspace(-3, 3, 25):
        hook = family.transformer.register_forward_hook(
            lambda _, __, kwargs, output, scale=scale: (scale * kwargs["hidden_states"],), with_kwargs=True
        )
        assert (family.loss(latents, prompts, noise) >= floor - 1e-5).all()
        hook.remove()


def test_the_sampler_is_the_pipelines_own(
    name: str, family: CosmosFamily, plain: Any, clips: list[tuple[Frames, str]], prompts: torch.Tensor
) -> None:
    frames, caption = clips[0]
    for num_latent in (1, 2) if family.num_given else (0,):
        ours = family.continue_clip(frames, prompts[0], steps=3, seed=7, num_condition=num_latent)
        call: dict[str, Any] = {"prompt": caption, "height": 32, "width": 32, "num_inference_steps": 3}
        call |= {"guidance_scale": 1.0, "max_sequence_length": 64, "generator": torch.Generator().manual_seed(7)}
        if name != "tiny:predict2-t2i":
            call |= {"num_frames": family.clip.frames, "fps": 8}
        if num_latent:
            call["video"] = [Image.fromarray(frame) for frame in frames[: family.num_frames(num_latent)]]
        theirs = plain(**call, output_type="latent")[0][0]
        torch.testing.assert_close(ours, theirs.reshape(ours.shape), rtol=1e-4, atol=1e-4)
    assert not torch.equal(family.continue_clip(frames, prompts[0], steps=3, seed=8), ours)


@torch.no_grad()
def test_training_calls_the_network_as_the_pipeline_does(
    name: str,
    family: CosmosFamily,
    clips: list[tuple[Frames, str]],
    latents: torch.Tensor,
    prompts: torch.Tensor,
    noise: Noise,
) -> None:
    with calls(family.transformer) as sampled:
        family.continue_clip(clips[0][0], prompts[0], steps=2, seed=0)
    with calls(family.transformer) as trained:
        family.loss(latents, prompts, noise)
    theirs, ours = sampled[0], trained[0]
    assert theirs.keys() == ours.keys()
    assert theirs.get("fps") == ours.get("fps")
    assert ("fps" in ours) == (name != "tiny:predict2-t2i")
    assert ("condition_mask" in ours) == (family.num_given > 0)
    for argument in ("hidden_states", "timestep", "encoder_hidden_states"):
        assert theirs[argument].shape[1:] == ours[argument].shape[1:], argument
    assert theirs["padding_mask"].shape == ours["padding_mask"].shape


def test_bf16_holds_the_transformer_and_leaves_the_codec_exact(
    name: str, clips: list[tuple[Frames, str]], latents: torch.Tensor, noise: Noise
) -> None:
    half = load(name, "bf16")
    assert torch.is_grad_enabled()
    assert {p.dtype for n, p in half.transformer.named_parameters() if "learnable_pos_embed" not in n} == {
        torch.bfloat16
    }
    assert torch.equal(half.encode_frames(clips[0][0]), latents[0])
    prompts = torch.stack(half.encode_prompts([caption for _, caption in clips]))
    loss = half.loss(latents, prompts, noise)
    assert loss.dtype == torch.float32
    assert loss.isfinite().all()
    assert half.continue_clip(clips[0][0], prompts[0], steps=2, seed=0).isfinite().all()


def test_a_replaced_network_is_trained_and_sampled(
    family: CosmosFamily, clips: list[tuple[Frames, str]], latents: torch.Tensor, prompts: torch.Tensor, noise: Noise
) -> None:
    base, loss = family.transformer, family.loss(latents, prompts, noise)
    sampled = family.continue_clip(clips[0][0], prompts[0], steps=2, seed=0)
    other = load(family.folder.as_posix(), frames=family.clip.frames, height=32, width=32, fps=8.0).transformer
    for parameter in other.parameters():
        parameter.data.mul_(1.01)
    family.replace("transformer", other)
    assert family.modules == {"transformer": other}
    assert not torch.equal(family.loss(latents, prompts, noise), loss)
    assert not torch.equal(family.continue_clip(clips[0][0], prompts[0], steps=2, seed=0), sampled)
    family.replace("transformer", base)
    assert torch.equal(family.loss(latents, prompts, noise), loss)
    assert family.published_state("transformer").keys() == base.state_dict().keys()


def test_a_clip_beyond_the_statistics_of_the_codec_is_refused() -> None:
    with pytest.raises(ModelError, match=r"model\.frames: 129 frames are 17 latent frames, .* of 16; take at most 121"):
        load("tiny:predict1", frames=129)


def test_every_listed_generation_is_tested_here() -> None:
    assert {name for name in TINY if TINY[name].family == "cosmos-predict"} == {"tiny:predict2.5", *NAMES}
