"""Noise on given frames: into the input alone, at the strength asked for, and out of the loss."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from posttrain.config import ModelConfig
from posttrain.models import load_family
from posttrain.models.cosmos_base import CosmosFamily
from posttrain.models.cosmos_predict1 import AUGMENT_SIGMA
from posttrain.models.noise import Noise

GIVEN = torch.tensor([0, 1, 2])
SIGMAS = torch.tensor([0.3, 0.3, 0.05])
Inputs = tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, Noise]


@pytest.fixture(scope="module", params=["tiny:predict2.5", "tiny:predict2", "tiny:predict1", "tiny:transfer2.5"])
def family(request: pytest.FixtureRequest) -> CosmosFamily:
    loaded = load_family(ModelConfig(checkpoint=request.param), "fp32", Path(), torch.device("cpu"))
    assert isinstance(loaded, CosmosFamily)
    return loaded


@pytest.fixture(scope="module")
def inputs(family: CosmosFamily) -> Inputs:
    """Latents, prompts, controls and noise of three samples."""
    clip, rng = family.clip, np.random.default_rng(0)
    clips = rng.integers(0, 256, (3, clip.frames, clip.height, clip.width, 3), dtype=np.uint8)
    latents = torch.stack([family.encode_frames(frames) for frames in clips])
    prompts = torch.stack(family.encode_prompts(["one", "two", "three"]))
    controls = (
        torch.stack([torch.stack([each.flip(1)] * len(family.control_names)) for each in latents])
        if (family.control_names)
        else None
    )
    eps = torch.randn(latents.shape, generator=torch.Generator().manual_seed(1))
    return latents, prompts, controls, Noise(torch.tensor([0.3, 0.6, 0.9]), eps, GIVEN)


def loss(family: CosmosFamily, inputs: Inputs, sigmas: torch.Tensor | None) -> torch.Tensor:
    latents, prompts, controls, noise = inputs
    return family.loss(latents, prompts, replace(noise, given_sigmas_B=sigmas), controls)


@contextmanager
def hooked(family: CosmosFamily, change: Any = None) -> Iterator[list[torch.Tensor]]:
    """What the transformer reads inside the block; its answer is passed through `change`."""
    seen: list[torch.Tensor] = []
    hooks = [
        family.transformer.register_forward_pre_hook(
            lambda _, __, kwargs: seen.append(kwargs["hidden_states"].clone()), with_kwargs=True
        )
    ]
    if change is not None:
        hooks.append(family.transformer.register_forward_hook(lambda _, __, output: (change(output[0]),)))
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def test_no_noise_is_what_it_was_bit_for_bit(family: CosmosFamily, inputs: Inputs) -> None:
    assert torch.equal(loss(family, inputs, None), loss(family, inputs, torch.zeros(3)))


@torch.no_grad()
def test_it_goes_into_the_given_frames_at_its_strength(family: CosmosFamily, inputs: Inputs) -> None:
    latents, _, _, noise = inputs
    with hooked(family) as seen:
        loss(family, inputs, None)
        loss(family, inputs, SIGMAS)
    before, after = seen
    std = family.noise_levels.data_std
    for i, given in enumerate(GIVEN):
        assert torch.equal(before[i, :, given:], after[i, :, given:])
        if given == 0:
            continue
        strength = float(SIGMAS[i]) * std
        scale = 1 / (strength**2 + std**2) ** 0.5 if "predict1" in family.generation.name else 1.0
        expected = scale * (latents[i, :, :given] + strength * noise.noise_BCThw[i, :, :given])
        torch.testing.assert_close(after[i, :, :given], expected, rtol=1e-5, atol=1e-5)
        assert strength > AUGMENT_SIGMA


@torch.no_grad()
def test_the_given_frames_stay_out_of_the_loss(family: CosmosFamily, inputs: Inputs) -> None:
    def spoil_given(answer: torch.Tensor) -> torch.Tensor:
        for i, given in enumerate(GIVEN):
            answer[i, :, :given] += 100
        return answer

    expected = loss(family, inputs, SIGMAS)
    with hooked(family, spoil_given):
        assert torch.equal(loss(family, inputs, SIGMAS), expected)
    without = loss(family, inputs, None)
    assert torch.equal(expected[0], without[0])  # no frame is given, so there is nothing to be noised
    assert bool((expected[1:] != without[1:]).all())
