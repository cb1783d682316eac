"""The comparable loss: the same noise for a clip wherever it is measured."""

import dataclasses

import pytest
import torch

from posttrain.data import Sample
from posttrain.evaluation.fixed_noise import NUM_LEVELS, fixed_noise, validation_loss
from posttrain.models.cosmos_predict25 import CosmosPredict25
from posttrain.training.video_bench import VideoBench

LEVELS = CosmosPredict25.noise_levels


@pytest.fixture
def samples(bench: VideoBench) -> list[Sample]:
    return bench.samples()[:4]


def test_levels_halve_equal_shares_of_the_training_distribution() -> None:
    drawn = LEVELS.draw(40_000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        LEVELS.midpoints(NUM_LEVELS), drawn.quantile(torch.tensor([1, 3, 5, 7]) / 8), atol=0.01, rtol=0
    )
    assert LEVELS.midpoints(1).tolist() == pytest.approx([5 / 6])
    assert LEVELS.shifted(1.0).midpoints(1).tolist() == pytest.approx([0.5])
    assert LEVELS.shifted(None) == LEVELS


def test_noise_is_made_of_the_name_alone(bench: VideoBench, samples: list[Sample]) -> None:
    latents = bench.store.latents(samples[0])
    first = fixed_noise(latents, LEVELS.midpoints(4), "a/clip", 1)
    torch.manual_seed(9)
    again = fixed_noise(torch.zeros_like(latents), LEVELS.midpoints(4), "a/clip", 1)
    assert torch.equal(first.noise_BCThw, again.noise_BCThw)
    assert first.num_condition_B.tolist() == [1, 1, 1, 1]
    other = fixed_noise(latents, LEVELS.midpoints(4), "b/clip", 1)
    assert not torch.equal(first.noise_BCThw, other.noise_BCThw)
    assert not torch.equal(first.noise_BCThw[0], first.noise_BCThw[1]), "each level has a draw of its own"


def test_a_clip_has_one_loss_in_every_set_and_order(bench: VideoBench, samples: list[Sample]) -> None:
    family, store = bench.family, bench.store
    together = validation_loss(family, store, samples)
    assert together.shape == (4,)
    assert torch.equal(validation_loss(family, store, samples[::-1]), together.flip(0))
    assert torch.equal(validation_loss(family, store, samples[2:3]), together[2:3])
    torch.manual_seed(3)
    assert torch.equal(validation_loss(family, store, samples), together)


def test_the_loss_sees_caption_and_clip(bench: VideoBench, samples: list[Sample]) -> None:
    right = validation_loss(bench.family, bench.store, samples[:1])
    wrong = dataclasses.replace(samples[0], caption=samples[1].caption)
    assert not torch.equal(validation_loss(bench.family, bench.store, [wrong]), right)


def test_it_leaves_mode_generators_and_gradients_alone(bench: VideoBench, samples: list[Sample]) -> None:
    transformer, state = bench.family.transformer, torch.random.get_rng_state()
    for training in (True, False):
        transformer.train(training)
        validation_loss(bench.family, bench.store, samples[:1])
        assert transformer.training is training
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.is_grad_enabled()
