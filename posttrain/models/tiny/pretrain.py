"""Teaches the tiny transformer general abilities, on the patterns of demo:general and on nothing of demo:shapes.

A LoRA on random weights stalls at 60 % of the initial loss, because the frozen modulation and output layers stay
random; after a thousand steps of training everything, it adapts as it does on a published checkpoint.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

from posttrain.data import ClipSpec, decode, demo
from posttrain.data.captions import read_caption
from posttrain.models.base import Frames, Noise
from posttrain.models.catalog import TINY
from posttrain.models.cosmos_base import CosmosFamily
from posttrain.models.cosmos_predict25 import CosmosPredict25

CLIP = ClipSpec(frames=9, height=32, width=32, fps=8.0)
MAX_SEQUENCE_LENGTH = 64
# A clip of demo:general is two of ours long, and does in the second half what its caption says as in the first.
_STARTS_S = (0.0, 1.0)
_NOTE_EVERY = 200
_WEIGHTS = Path("transformer", "diffusion_pytorch_model.safetensors")


@dataclass(frozen=True)
class Recipe:
    """How the base is trained; conditioning frames are weights of 0, 1 and 2 latent frames given clean."""

    steps: int = 1000
    batch_size: int = 16
    learning_rate: float = 4e-3
    warmup: float = 0.05
    conditioning: tuple[float, float, float] = (0.34, 0.33, 0.33)
    caption_dropout: float = 0.05
    seed: int = 0
    max_clips: int | None = None


@dataclass(frozen=True)
class Clips:
    """Everything the training reads, encoded.

    Latents (N, C, T, h, w), prompts (N, L, D), and for a family with controls theirs (N, K, C, T, h, w).
    """

    latents: torch.Tensor
    prompts: torch.Tensor
    controls: torch.Tensor | None = None


def pretrain(folder: Path, recipe: Recipe, on_note: Callable[[str], None]) -> None:
    """Trains the transformer of the checkpoint in `folder` and writes it back."""
    family = CosmosPredict25.load(
        folder,
        TINY["tiny:predict2.5"],
        CLIP,
        max_sequence_length=MAX_SEQUENCE_LENGTH,
        dtype=torch.float32,
        device=torch.device("cpu"),
    )
    on_note("tiny:predict2.5: encoding demo:general")
    clips = encode(family, recipe)
    fit(family, clips, recipe, on_note)
    # the weights alone: save_pretrained would write the name of this folder into config.json
    save_file(family.published_state("transformer"), folder / _WEIGHTS, metadata={"format": "pt"})


def fit(
    family: CosmosFamily,
    clips: Clips,
    recipe: Recipe,
    on_note: Callable[[str], None],
    *,
    name: str = "tiny:predict2.5",
    module: str = "transformer",
) -> None:
    """Full training of one of the family's networks, cosine schedule, from the recipe's seed alone."""
    generator = torch.Generator().manual_seed(recipe.seed)
    network = family.modules[module]
    network.requires_grad_(True).train()
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True
    )
    for step in range(recipe.steps):
        for group in optimiser.param_groups:
            group["lr"] = recipe.learning_rate * _schedule(step / recipe.steps, recipe.warmup)
        picked = torch.randint(len(clips.latents), (recipe.batch_size,), generator=generator)
        latents = clips.latents[picked]
        kept = torch.rand(recipe.batch_size, generator=generator) >= recipe.caption_dropout
        loss = family.loss(
            latents,
            clips.prompts[picked] * kept[:, None, None],
            _noise(family, latents, recipe, generator),
            None if clips.controls is None else clips.controls[picked],
        ).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        if step % _NOTE_EVERY == 0:
            on_note(f"{name}: base training, step {step} of {recipe.steps}, loss {loss.item():.3f}")
    network.requires_grad_(False).eval()


def encode(family: CosmosFamily, recipe: Recipe, control: Callable[[Frames], Frames] | None = None) -> Clips:
    """The clips of demo:general, with a control made of each if `control` makes one."""
    root = demo.resolve("general")
    videos = sorted((root / "videos").iterdir())[: recipe.max_clips]
    captions = [read_caption(root / "captions" / f"{video.stem}.json")[0] for video in videos]
    prompts = dict(zip(captions, family.encode_prompts(captions), strict=True))
    frames = [decode(video, CLIP, start) for video in videos for start in _STARTS_S]
    return Clips(
        torch.stack([family.encode_frames(clip) for clip in frames]),
        torch.stack([prompts[text] for text in captions for _ in _STARTS_S]),
        None if control is None else torch.stack([family.encode_frames(control(clip))[None] for clip in frames]),
    )


def _noise(family: CosmosFamily, latents: torch.Tensor, recipe: Recipe, generator: torch.Generator) -> Noise:
    weights = torch.tensor(recipe.conditioning)
    return Noise(
        family.noise_levels.draw(len(latents), generator),
        torch.randn(latents.shape, generator=generator),
        torch.multinomial(weights, len(latents), replacement=True, generator=generator),
    )


def _schedule(progress: float, warmup: float) -> float:
    """Linear warm-up, then a cosine to zero; `progress` in 0..1."""
    if progress < warmup:
        return (progress + 1e-3) / warmup
    return 0.5 + 0.5 * math.cos(math.pi * (progress - warmup) / (1 - warmup))
