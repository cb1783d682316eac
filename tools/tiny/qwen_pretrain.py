"""Teaches a tiny vision-language model to read digits, on the questions of demo:digits-general and on no others.

Afterwards it knows nine of ten digits that it has not seen, says them in whole sentences where post-training will ask
for one word, and answers questions with choices, when it is sampled, right about half the time.
"""

from pathlib import Path

import torch

from posttrain.config import SourceConfig
from posttrain.data import Row, RowSpec, demo, scan
from posttrain.models.vlm import VisionLanguageModel
from tools.tiny.fit import Note, Recipe, fit

SPEC = RowSpec(max_frames=4, fps=2.0)
RECIPE = Recipe(steps=260, learning_rate=5e-3, betas=(0.9, 0.999))


def pretrain(name: str, folder: Path, recipe: Recipe, on_note: Note) -> None:
    """Trains the model of the checkpoint in `folder`, the built-in `name`, and writes it back."""
    loaded = VisionLanguageModel.load(folder, dtype=torch.float32, device=torch.device("cpu"), spec=SPEC)
    rows = scan("general", SourceConfig(path=str(demo.resolve("digits-general"))), SPEC, Path()).kept
    batches = _batches(rows, recipe)

    def loss_of(step: int) -> torch.Tensor:
        loss: torch.Tensor = loaded.model(**loaded.collate(batches[step]), use_cache=False).loss
        return loss

    fit(loaded.model, loss_of, recipe, lambda text: on_note(f"{name}: base training, {text}"))
    loaded.model.save_pretrained(folder)


def _batches(rows: list[Row], recipe: Recipe) -> list[list[Row]]:
    generator = torch.Generator().manual_seed(recipe.seed)
    order: list[int] = []
    while len(order) < recipe.steps * recipe.batch_size:
        order += torch.randperm(len(rows), generator=generator).tolist()
    size = recipe.batch_size
    return [[rows[index] for index in order[step * size : (step + 1) * size]] for step in range(recipe.steps)]
