"""Codecs and sampler against the published pipeline; loading says what is wrong with a checkpoint."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from posttrain.config import ModelConfig
from posttrain.data import Sample
from posttrain.errors import ModelError
from posttrain.evaluation.continuation import psnr
from posttrain.models import load_family
from posttrain.models.base import Frames, Noise, VideoFamily
from posttrain.training.video_bench import VideoBench
from tests.plain_diffusers import as_video

CPU = torch.device("cpu")


def load(checkpoint: Path, precision: str = "fp32") -> VideoFamily:
    config = ModelConfig(checkpoint=str(checkpoint), frames=9, height=32, width=32, fps=8.0, max_sequence_length=64)
    return load_family(config, precision, Path(), CPU)


@pytest.fixture
def broken(tiny: Path, tmp_path: Path) -> Path:
    """A copy of the checkpoint, to be spoiled."""
    return Path(shutil.copytree(tiny, tmp_path / "broken"))


@torch.no_grad()
def test_latents_are_the_pipelines_own_conditioning(bench: VideoBench, frames: Frames, plain: Any) -> None:
    size = {"height": 32, "width": 32, "num_frames_in": 9, "num_frames_out": 9}
    _, conditioning, _, _ = plain.prepare_latents(as_video(frames), 1, **size, dtype=torch.float32, device=CPU)
    assert torch.equal(bench.family.encode_frames(frames), conditioning[0])


def test_decoding_undoes_encoding(bench: VideoBench, frames: Frames) -> None:
    decoded = bench.family.decode_latents(bench.family.encode_frames(frames))
    assert decoded.shape == frames.shape
    assert decoded.dtype == np.uint8
    assert psnr(decoded, frames) > 20
    assert psnr(decoded, np.roll(frames, 8, axis=2)) < psnr(decoded, frames) - 3


def test_first_latents_do_not_see_later_frames(bench: VideoBench, frames: Frames) -> None:
    """What lets one cached clip serve any number of given frames."""
    whole = bench.family.encode_frames(frames)
    torch.testing.assert_close(bench.family.encode_frames(frames[:1]), whole[:, :1], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(bench.family.encode_frames(frames[:5]), whole[:, :2], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("num_condition", [1, 2])
def test_the_sampler_is_the_pipelines_own(
    bench: VideoBench, sample: Sample, frames: Frames, plain: Any, num_condition: int
) -> None:
    prompt = bench.store.prompt(sample.caption)
    ours = bench.family.continue_clip(frames, prompt, steps=3, seed=7, num_condition=num_condition)
    theirs = plain(
        video=as_video(frames[: 4 * num_condition - 3]),
        prompt=sample.caption,
        height=32,
        width=32,
        num_frames=9,
        num_latent_conditional_frames=num_condition,
        num_inference_steps=3,
        guidance_scale=0.0,
        max_sequence_length=64,
        generator=torch.Generator().manual_seed(7),
        output_type="latent",
    ).frames[0]
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    given = bench.family.encode_frames(frames)[:, :num_condition]
    torch.testing.assert_close(ours[:, :num_condition], given, rtol=0, atol=0.05)  # down to the scheduler's sigma_min


def test_the_sampler_depends_on_its_seed_alone(bench: VideoBench, sample: Sample, frames: Frames) -> None:
    prompt = bench.store.prompt(sample.caption)
    first = bench.family.continue_clip(frames, prompt, steps=2, seed=1)
    torch.manual_seed(5)
    assert torch.equal(bench.family.continue_clip(frames, prompt, steps=2, seed=1), first)
    assert not torch.equal(bench.family.continue_clip(frames, prompt, steps=2, seed=2), first)


def test_bf16_holds_the_transformer_and_leaves_the_codec_exact(bench: VideoBench, tiny: Path, frames: Frames) -> None:
    """Latents are cached for trials of both precisions, so both must make the same."""
    family = load(tiny, "bf16")
    assert torch.is_grad_enabled()
    assert {parameter.dtype for parameter in family.transformer.parameters()} == {torch.bfloat16}
    assert family.latents_key == bench.family.latents_key
    assert family.prompts_key != bench.family.prompts_key
    latents = family.encode_frames(frames)
    assert torch.equal(latents, bench.family.encode_frames(frames))
    (prompt,) = family.encode_prompts(["A red disc."])
    noise = Noise(torch.tensor([0.5]), torch.randn(latents[None].shape), torch.tensor([1]))
    loss = family.loss(latents[None], prompt[None], noise)
    assert loss.dtype == torch.float32
    assert loss.isfinite().all()
    assert family.continue_clip(frames, prompt, steps=2, seed=0).isfinite().all()


def test_a_loaded_base_is_frozen_and_in_eval_mode(bench: VideoBench) -> None:
    assert not bench.family.transformer.training
    assert not any(parameter.requires_grad for parameter in bench.family.transformer.parameters())


@pytest.mark.parametrize("missing", ["transformer/diffusion_pytorch_model.safetensors", "vae/config.json", "scheduler"])
def test_a_missing_part_is_named(broken: Path, missing: str) -> None:
    path = broken / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(ModelError, match=r"model\.checkpoint: .*broken"):
        load(broken)
    assert torch.is_grad_enabled()


def test_torn_weights_are_an_error_of_the_checkpoint(broken: Path) -> None:
    path = broken / "transformer/diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ModelError, match=r"model\.checkpoint: .*broken"):
        load(broken)


@pytest.mark.parametrize("part", ["text_encoder", "tokenizer"])
def test_a_missing_text_encoder_is_named(broken: Path, part: str) -> None:
    family = load(broken)
    shutil.rmtree(broken / part)
    with pytest.raises(ModelError, match=r"the text encoder of .*broken cannot be loaded"):
        family.encode_prompts(["A red disc."])
