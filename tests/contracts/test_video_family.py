"""What every family owes the trainer, the evaluation and the gate, on each built-in checkpoint."""

from pathlib import Path

import numpy as np
import pytest
import torch

from posttrain.config import ModelConfig
from posttrain.models import clip_of, describe, load_family
from posttrain.models.base import Frames, Noise, VideoFamily
from posttrain.models.catalog import TINY


@pytest.fixture(scope="module", params=list(TINY))
def family(request: pytest.FixtureRequest) -> VideoFamily:
    return load_family(ModelConfig(checkpoint=request.param), "fp32", Path(), torch.device("cpu"))


@pytest.fixture
def frames(family: VideoFamily) -> Frames:
    clip = family.clip
    shape = (clip.frames, clip.height, clip.width, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def controls_for(family: VideoFamily, frames: Frames) -> torch.Tensor | None:
    """(K, C, T, h, w) where the family takes controls."""
    if not family.control_names:
        return None
    return torch.stack([family.encode_frames(frames[::-1].copy()) for _ in family.control_names])


def noise_for(latents_BCThw: torch.Tensor, num_condition: int) -> Noise:
    num = len(latents_BCThw)
    noise = torch.randn(latents_BCThw.shape, generator=torch.Generator().manual_seed(0))
    return Noise(torch.linspace(0.2, 0.9, num), noise, torch.full((num,), num_condition))


def test_the_clip_is_the_checkpoints(family: VideoFamily, request: pytest.FixtureRequest) -> None:
    name = request.node.callspec.params["family"]
    assert family.clip == clip_of(ModelConfig(checkpoint=name), describe(name))


def test_codecs_keep_shapes_and_types(family: VideoFamily, frames: Frames) -> None:
    latents = family.encode_frames(frames)
    assert latents.dtype == torch.float32
    assert latents.dim() == 4
    assert latents.device.type == "cpu"
    assert latents.nbytes == family.latents_bytes
    decoded = family.decode_latents(latents)
    assert decoded.shape == frames.shape
    assert decoded.dtype == np.uint8
    assert torch.equal(family.encode_frames(frames), latents)


def test_prompts_are_encoded_each_for_itself(family: VideoFamily) -> None:
    texts = ["A red disc moves left.", "Blue."]
    both = family.encode_prompts(texts)
    assert {prompt.shape for prompt in both} == {both[0].shape}
    assert both[0].dim() == 2
    assert both[0].nbytes == family.prompt_bytes
    assert torch.equal(family.encode_prompts(texts[1:])[0], both[1])
    assert not torch.equal(both[0], both[1])


@pytest.mark.parametrize("given", [False, True])
def test_the_loss_is_one_number_per_sample(family: VideoFamily, frames: Frames, given: bool) -> None:
    latents = family.encode_frames(frames).expand(3, -1, -1, -1, -1)
    prompts = torch.stack(family.encode_prompts(["A red disc."])).expand(3, -1, -1)
    noise = noise_for(latents, family.num_given if given else 0)
    one = controls_for(family, frames)
    controls = None if one is None else one.expand(3, *one.shape)
    loss = family.loss(latents, prompts, noise, controls)
    assert loss.shape == (3,)
    assert loss.dtype == torch.float32
    assert loss.isfinite().all()
    assert torch.equal(family.loss(latents, prompts, noise, controls), loss)
    floor = family.scalar_floor(latents, noise)
    assert floor.shape == (3,)
    assert (floor > 0).all()


def test_sampling_gives_latents_of_a_clip(family: VideoFamily, frames: Frames) -> None:
    (prompt,) = family.encode_prompts(["A red disc."])
    sampled = family.continue_clip(frames, prompt, steps=1, seed=0, controls_KCThw=controls_for(family, frames))
    assert sampled.shape == family.encode_frames(frames).shape
    assert sampled.isfinite().all()


def test_keys_tell_the_parts_apart(family: VideoFamily) -> None:
    keys = [family.weights_key, family.latents_key, family.prompts_key]
    assert all(keys)
    assert len(set(keys)) == 3
