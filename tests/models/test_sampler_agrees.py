"""Loss and sampler agree: the pipeline's own sampler reproduces clips that the family's loss was overfitted to.

Full training of a built-in base on four clips; the sampler shares no code with the loss, so a wrong sign, scale,
timestep, frame rate or latent statistic leaves it far from the clips. A family is tested by being listed in
`catalog.TINY`; its recipe stands in `RECIPES` where the common one does not do.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from posttrain.config import ModelConfig
from posttrain.data import decode, demo
from posttrain.data.captions import read_caption
from posttrain.models import load_family
from posttrain.models.base import Noise, VideoFamily
from posttrain.models.catalog import TINY

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Recipe:
    """Steps of AdamW at a cosine schedule; the sampler's steps."""

    steps: int = 300
    batch_size: int = 8
    learning_rate: float = 5e-3
    sampler_steps: int = 16


RECIPES: dict[str, Recipe] = {
    "tiny:predict2-t2i": Recipe(learning_rate=8e-3),
    "tiny:predict1": Recipe(steps=500),
    "tiny:predict1-t2w": Recipe(steps=350),
}


# of Transfer, test_transfer_sampling.py asks the same: its clips come with controls
NAMES = [
    name if name == "tiny:predict2.5" else pytest.param(name, marks=pytest.mark.full)
    for name in TINY
    if not TINY[name].takes_controls
]


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def family(name: str) -> VideoFamily:
    return load_family(ModelConfig(checkpoint=name), "fp32", Path(), torch.device("cpu"))


def clips(num: int = 4) -> list[tuple[Path, str]]:
    """Videos of different captions, and the captions."""
    root = demo.resolve("shapes/fixed-high")
    videos = sorted((root / "videos").iterdir())[:num]
    return [(video, read_caption(root / "captions" / f"{video.stem}.json")[0]) for video in videos]


def draw(family: VideoFamily, latents: torch.Tensor, generator: torch.Generator) -> Noise:
    """Noise by the family's own levels, with every number of given frames that leaves one to predict."""
    most = min(2, latents.shape[2] - 1) if family.num_given else 0
    return Noise(
        family.noise_levels.draw(len(latents), generator),
        torch.randn(latents.shape, generator=generator),
        torch.randint(most + 1, (len(latents),), generator=generator),
    )


def overfit(family: VideoFamily, latents: torch.Tensor, prompts: torch.Tensor, recipe: Recipe) -> None:
    generator = torch.Generator().manual_seed(0)
    parameters = [parameter for module in family.modules.values() for parameter in module.parameters()]
    for parameter in parameters:
        parameter.requires_grad_(True)
    optimiser = torch.optim.AdamW(parameters, lr=recipe.learning_rate, betas=(0.9, 0.99), weight_decay=0.0, fused=True)
    for step in range(recipe.steps):
        rate = 0.5 + 0.5 * math.cos(math.pi * step / recipe.steps)
        optimiser.param_groups[0]["lr"] = recipe.learning_rate * min(rate, (step + 1) / 20)
        picked = torch.arange(recipe.batch_size) % len(latents)
        loss = family.loss(latents[picked], prompts[picked], draw(family, latents[picked], generator)).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()


def test_the_pipelines_own_sampler_reproduces_overfitted_clips(name: str, family: VideoFamily) -> None:
    recipe = RECIPES.get(name, Recipe())
    chosen = clips()
    frames = [decode(video, family.clip) for video, _ in chosen]
    latents = torch.stack([family.encode_frames(clip) for clip in frames])
    prompts = torch.stack(family.encode_prompts([caption for _, caption in chosen]))
    overfit(family, latents, prompts, recipe)
    given = family.num_given
    for clip, true, prompt in zip(frames, latents, prompts, strict=True):
        sampled = family.continue_clip(clip, prompt, steps=recipe.sampler_steps, seed=1)
        error = ((sampled - true)[:, given:] ** 2).mean() / true[:, given:].var()
        assert error < 0.1, f"{name}: relative error {error:.3f}"
