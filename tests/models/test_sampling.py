"""Seeded noise on the logits samples exactly, and no batch changes a sample."""

import torch

from posttrain.models.sampling import GumbelSampler, seed_of

LOGITS_V = torch.tensor([2.0, 1.0, 0.0, -1.0, -30.0])
CPU = torch.device("cpu")


def drawn(seeds: list[int], temperature: float) -> torch.Tensor:
    """The token that each seed draws."""
    scores = LOGITS_V.expand(len(seeds), -1)
    return GumbelSampler(seeds, temperature, CPU)(torch.zeros(len(seeds), 1), scores).argmax(1)


def test_samples_follow_the_softmax() -> None:
    count = 20_000
    for temperature in (0.5, 1.0, 2.0):
        chances = (LOGITS_V / temperature).softmax(0)
        shares = drawn([seed_of(7, k) for k in range(count)], temperature).bincount(minlength=5) / count
        spread = (chances * (1 - chances) / count).sqrt()
        assert bool(((shares - chances).abs() <= 4 * spread + 1e-9).all()), (temperature, shares, chances)


def test_a_sample_depends_on_its_own_seed_and_place_alone() -> None:
    state = torch.get_rng_state()
    seeds = [seed_of("question", k) for k in range(6)]
    together = drawn(seeds, 1.0)
    assert together.tolist() == [int(drawn([seed], 1.0)) for seed in seeds]
    assert torch.equal(torch.get_rng_state(), state)
    sampler, scores = GumbelSampler(seeds[:1], 1.0, CPU), LOGITS_V[None]
    tokens = [int(sampler(torch.zeros(1, 1), scores).argmax()) for _ in range(40)]
    assert len(set(tokens)) > 1  # the noise goes on from token to token
