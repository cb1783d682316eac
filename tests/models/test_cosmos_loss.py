"""The loss: the published objective, given frames out of it, each sample for itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from posttrain.models.base import Noise
from posttrain.models.cosmos_predict25 import CONDITION_TIMESTEP, CosmosPredict25
from posttrain.models.noise import NoiseLevels
from posttrain.training.video_bench import VideoBench
from tests.float64 import VALUES_RTOL, in_float64

CONDITION = torch.tensor([0, 1, 2])


@pytest.fixture
def family(bench: VideoBench) -> CosmosPredict25:
    assert isinstance(bench.family, CosmosPredict25)
    return bench.family


@pytest.fixture
def latents(bench: VideoBench) -> torch.Tensor:
    return torch.stack([bench.store.latents(sample) for sample in bench.samples()[:3]])


@pytest.fixture
def prompts(bench: VideoBench) -> torch.Tensor:
    return torch.stack([bench.store.prompt(sample.caption) for sample in bench.samples()[:3]])


@pytest.fixture
def noise(latents: torch.Tensor) -> Noise:
    generator = torch.Generator().manual_seed(1)
    return Noise(torch.tensor([0.3, 0.6, 0.9]), torch.randn(latents.shape, generator=generator), CONDITION)


@contextmanager
def output_changed(family: CosmosPredict25, change: Any) -> Iterator[None]:
    """Inside the block the transformer's output is passed through `change`."""
    hook = family.transformer.register_forward_hook(lambda _, __, output: (change(output[0]),))
    try:
        yield
    finally:
        hook.remove()


@torch.no_grad()
def test_it_is_the_published_objective_on_raw_embeddings(
    bench: VideoBench, family: CosmosPredict25, latents: torch.Tensor, prompts: torch.Tensor, noise: Noise, plain: Any
) -> None:
    """The formula written out once more, over plain diffusers with unprojected embeddings."""
    ours = family.loss(latents, prompts, noise)
    for i, sample in enumerate(bench.samples()[:3]):
        raw_1LE, _ = plain.encode_prompt(
            sample.caption, do_classifier_free_guidance=False, max_sequence_length=family.max_sequence_length
        )
        assert raw_1LE.shape[-1] != prompts.shape[-1]
        given, sigma = int(CONDITION[i]), float(noise.sigmas_B[i])
        clean, eps = latents[i : i + 1], noise.noise_BCThw[i : i + 1]
        noisy = (1 - sigma) * clean + sigma * eps
        noisy[:, :, :given] = clean[:, :, :given]
        mask = torch.zeros(1, 1, *clean.shape[2:])
        mask[:, :, :given] = 1
        timestep = torch.full((1, 1, clean.shape[2], 1, 1), sigma)
        timestep[:, :, :given] = 1e-4
        size = (family.clip.height, family.clip.width)
        velocity = plain.transformer(
            noisy, timestep, raw_1LE, condition_mask=mask, padding_mask=torch.zeros(1, 1, *size)
        )
        error = (velocity.sample - (eps - clean))[:, :, given:]
        torch.testing.assert_close(ours[i], (error**2).mean(), rtol=1e-6, atol=1e-6)


@torch.no_grad()
def test_a_sample_does_not_see_its_neighbours(
    bench: VideoBench, family: CosmosPredict25, latents: torch.Tensor, prompts: torch.Tensor, noise: Noise
) -> None:
    with in_float64(bench):
        together = family.loss(latents, prompts, noise)
        alone = [
            family.loss(
                latents[i : i + 1],
                prompts[i : i + 1],
                Noise(noise.sigmas_B[i : i + 1], noise.noise_BCThw[i : i + 1], noise.num_condition_B[i : i + 1]),
            )
            for i in range(3)
        ]
    torch.testing.assert_close(together, torch.cat(alone), rtol=VALUES_RTOL, atol=0)


@torch.no_grad()
def test_noise_on_given_frames_changes_nothing(
    family: CosmosPredict25, latents: torch.Tensor, prompts: torch.Tensor, noise: Noise
) -> None:
    other = noise.noise_BCThw.clone()
    for i, given in enumerate(CONDITION):
        other[i, :, :given] += 3
    changed = Noise(noise.sigmas_B, other, noise.num_condition_B)
    assert torch.equal(family.loss(latents, prompts, noise), family.loss(latents, prompts, changed))
    other[:, :, 2:] += 3
    assert (family.loss(latents, prompts, noise) != family.loss(latents, prompts, changed)).all()


@torch.no_grad()
def test_the_error_of_given_frames_is_not_counted(
    family: CosmosPredict25, latents: torch.Tensor, prompts: torch.Tensor, noise: Noise
) -> None:
    def spoil_given(velocity: torch.Tensor) -> torch.Tensor:
        for i, given in enumerate(CONDITION):
            velocity[i, :, :given] += 100
        return velocity

    expected = family.loss(latents, prompts, noise)
    with output_changed(family, spoil_given):
        assert torch.equal(family.loss(latents, prompts, noise), expected)


@torch.no_grad()
def test_it_is_the_mean_over_the_counted_frames_alone(
    family: CosmosPredict25, latents: torch.Tensor, prompts: torch.Tensor, noise: Noise
) -> None:
    target = noise.noise_BCThw - latents
    with output_changed(family, torch.zeros_like):
        found = family.loss(latents, prompts, noise)
    expected = torch.stack([(target[i, :, given:] ** 2).mean() for i, given in enumerate(CONDITION)])
    torch.testing.assert_close(found, expected)


@torch.no_grad()
def test_given_frames_carry_their_own_timestep(
    family: CosmosPredict25, latents: torch.Tensor, prompts: torch.Tensor, noise: Noise
) -> None:
    seen: dict[str, torch.Tensor] = {}
    hook = family.transformer.register_forward_pre_hook(lambda _, __, kwargs: seen.update(kwargs), with_kwargs=True)
    family.loss(latents, prompts, noise)
    hook.remove()
    timestep = seen["timestep"].flatten(1)
    torch.testing.assert_close(timestep[2], torch.tensor([CONDITION_TIMESTEP, CONDITION_TIMESTEP, 0.9]))
    assert torch.equal(seen["hidden_states"][2, :, :2], latents[2, :, :2])
    assert "fps" not in seen


@torch.no_grad()
def test_scalar_floor_is_the_best_scaling_of_the_input(
    family: CosmosPredict25, latents: torch.Tensor, noise: Noise
) -> None:
    floor = family.scalar_floor(latents, noise)
    for i, given in enumerate(CONDITION):
        sigma = noise.sigmas_B[i]
        clean, eps = latents[i, :, given:], noise.noise_BCThw[i, :, given:]
        noisy = (1 - sigma) * clean + sigma * eps
        tried = [((a * noisy - (eps - clean)) ** 2).mean() for a in torch.linspace(-3, 3, 601)]
        torch.testing.assert_close(floor[i], min(tried), rtol=1e-3, atol=0)


def test_noise_levels_follow_the_shifted_logit_normal() -> None:
    sigmas = CosmosPredict25.noise_levels.draw(20_000, torch.Generator().manual_seed(0))
    assert float(sigmas.median()) == pytest.approx(5 * 0.5 / (1 + 4 * 0.5), abs=0.01)
    assert float(sigmas.min()) > 0
    assert float(sigmas.max()) < 1
    unshifted = NoiseLevels(mean=0.0).draw(20_000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(torch.logit(unshifted).std(), torch.tensor(1.0), atol=0.02, rtol=0)
