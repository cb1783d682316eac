"""Teaches a tiny vision-language model to read digits, on the questions of demo:digits-general and on no others.

Afterwards it knows nine of ten digits that it has not seen, says them in whole sentences where post-training will ask
for one word, and answers questions with choices, when it is sampled, right about half the time.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from posttrain.config import SourceConfig
from posttrain.data import Row, RowSpec, demo, scan
from posttrain.models.tiny.qwen import assemble
from posttrain.models.vlm import VisionLanguageModel

SPEC = RowSpec(max_frames=4, fps=2.0)
_NOTE_EVERY = 50


@dataclass(frozen=True)
class Recipe:
    """How the base is trained."""

    steps: int = 260
    batch_size: int = 16
    learning_rate: float = 5e-3
    warmup: float = 0.05
    seed: int = 0


def build(name: str, folder: Path, on_note: Callable[[str], None], recipe: Recipe | None = None) -> None:
    """Writes the whole checkpoint under `folder`, about 25 s on one core; deterministic on one machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # at this size more threads only wait for each other
    try:
        on_note(f"{name}: assembling the checkpoint")
        assemble(name, folder)
        _pretrain(name, folder, recipe or Recipe(), on_note)
    finally:
        torch.set_num_threads(threads)
    for weights in folder.rglob("*.safetensors"):
        weights.chmod(0o644)  # the library makes its files private, a shared cache is not


def _pretrain(name: str, folder: Path, recipe: Recipe, on_note: Callable[[str], None]) -> None:
    loaded = VisionLanguageModel.load(folder, dtype=torch.float32, device=torch.device("cpu"), spec=SPEC)
    rows = scan("general", SourceConfig(path=str(demo.resolve("digits-general"))), SPEC, Path()).kept
    model = loaded.model.requires_grad_(True).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=0.01, fused=True)
    for step, picked in enumerate(_batches(rows, recipe)):
        for group in optimiser.param_groups:
            group["lr"] = recipe.learning_rate * _schedule(step / recipe.steps, recipe.warmup)
        loss = model(**loaded.collate(picked), use_cache=False).loss
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if step % _NOTE_EVERY == 0:
            on_note(f"{name}: base training, step {step} of {recipe.steps}, loss {loss.item():.3f}")
    model.requires_grad_(False).eval().save_pretrained(folder)


def _batches(rows: list[Row], recipe: Recipe) -> list[list[Row]]:
    generator = torch.Generator().manual_seed(recipe.seed)
    order: list[int] = []
    while len(order) < recipe.steps * recipe.batch_size:
        order += torch.randperm(len(rows), generator=generator).tolist()
    size = recipe.batch_size
    return [[rows[index] for index in order[step * size : (step + 1) * size]] for step in range(recipe.steps)]


def _schedule(progress: float, warmup: float) -> float:
    """Linear warm-up, then a cosine to zero; `progress` in 0..1."""
    if progress < warmup:
        return (progress + 1e-3) / warmup
    return 0.5 + 0.5 * math.cos(math.pi * (progress - warmup) / (1 - warmup))
