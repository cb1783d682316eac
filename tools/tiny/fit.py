"""The one training loop of the tiny networks: AdamW, linear warm-up, cosine to zero."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

Note = Callable[[str], None]
_NOTES = 5


@dataclass(frozen=True)
class Recipe:
    """How a network is trained; `seed` is that of its batches and noise."""

    steps: int = 600
    batch_size: int = 16
    learning_rate: float = 4e-3
    betas: tuple[float, float] = (0.9, 0.99)
    warmup: float = 0.05
    seed: int = 0


def fit(network: torch.nn.Module, loss_of: Callable[[int], torch.Tensor], recipe: Recipe, on_note: Note) -> None:
    """Trains all of `network` on `loss_of(step)`, and leaves it frozen in evaluation mode."""
    network.requires_grad_(True).train()
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=recipe.learning_rate, betas=recipe.betas, weight_decay=0.01, fused=True
    )
    for step in range(recipe.steps):
        for group in optimiser.param_groups:
            group["lr"] = recipe.learning_rate * schedule(step / recipe.steps, recipe.warmup)
        loss = loss_of(step)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        if step % math.ceil(recipe.steps / _NOTES) == 0 or step == recipe.steps - 1:
            on_note(f"step {step} of {recipe.steps}, loss {loss.item():.3f}")
    network.requires_grad_(False).eval()


def schedule(progress: float, warmup: float) -> float:
    """Linear warm-up, then a cosine to zero; `progress` in 0..1."""
    if progress < warmup:
        return (progress + 1e-3) / warmup
    return 0.5 + 0.5 * math.cos(math.pi * (progress - warmup) / (1 - warmup))
