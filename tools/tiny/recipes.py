"""How each shipped layer is made: the layers below it, and what writes the rest of its folder."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from posttrain.models.tiny import CHECKPOINTS, layers
from posttrain.models.torchvision_shim import ensure_torchvision
from tools.tiny import predict1, predict2, predict25, pretrain, qwen, qwen_pretrain, t5, text, train_vae, transfer25
from tools.tiny.fit import Note
from tools.tiny.networks import save_pipeline, save_text
from tools.tiny.pretrain import VideoRecipe

Write = Callable[[Path, Note, int | None], None]
_SEED = 0
_FEW_VIDEOS = 4


@dataclass(frozen=True)
class LayerRecipe:
    """`write(folder, on_note, steps)` completes a folder that holds the layers `below` already.

    It trains for its own number of steps. With `steps`, which tries the recipe out, it trains for no more than those
    and reads few clips.
    """

    write: Write
    below: tuple[str, ...] = ()


def make(layer: str, folder: Path, on_note: Note, steps: int | None = None) -> None:
    """Writes the files of `layer` and of the layers below it into the empty `folder`.

    Two runs on one machine give the same files. Random numbers and sums of torch differ between kinds of CPU, so
    another machine may give other weights.
    """
    ensure_torchvision()
    gradients = torch.is_grad_enabled()
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_SEED)
            layers.assemble(RECIPES[layer].below, folder)
            RECIPES[layer].write(folder, on_note, steps)
    finally:
        torch.set_grad_enabled(gradients)  # building a pipeline turns gradients off for the whole process


def _video(layer: str, new_pipeline: Callable[[Path], Any], recipe: VideoRecipe) -> LayerRecipe:
    name = f"tiny:{layer}"

    def write(folder: Path, on_note: Note, steps: int | None) -> None:
        save_pipeline(new_pipeline(folder), folder)
        few = None if steps is None else _FEW_VIDEOS
        pretrain.pretrain(name, folder, replace(recipe, steps=_at_most(recipe.steps, steps)), on_note, few)

    return LayerRecipe(write, below=CHECKPOINTS[name][:-1])


def _qwen(name: str) -> LayerRecipe:
    def write(folder: Path, on_note: Note, steps: int | None) -> None:
        qwen.assemble(name, folder)
        recipe = qwen_pretrain.RECIPE
        qwen_pretrain.pretrain(name, folder, replace(recipe, steps=_at_most(recipe.steps, steps)), on_note)

    return LayerRecipe(write)


def _text(build_tokenizer: Callable[[], Any], build_text_encoder: Callable[[Any], Any]) -> LayerRecipe:
    """Random weights: nothing is trained."""

    def write(folder: Path, _on_note: Note, _steps: int | None) -> None:
        tokenizer = build_tokenizer()
        save_text(tokenizer, build_text_encoder(tokenizer), folder)

    return LayerRecipe(write)


def _vae(codec: str) -> LayerRecipe:
    return LayerRecipe(partial(train_vae.write, train_vae.CODECS[codec]))


def _at_most(steps: int, limit: int | None) -> int:
    return steps if limit is None else min(steps, limit)


RECIPES: dict[str, LayerRecipe] = {
    "vae_wan": _vae("wan"),
    "vae_cosmos": _vae("cosmos"),
    "text_qwen": _text(text.build_tokenizer, text.build_text_encoder),
    "text_t5": _text(t5.build_tokenizer, t5.build_text_encoder),
    "predict2.5": _video("predict2.5", predict25.new_pipeline, VideoRecipe(steps=1000)),
    "predict2": _video("predict2", predict2.new_video_pipeline, VideoRecipe()),
    # all depends on the text
    "predict2-t2i": _video("predict2-t2i", predict2.new_image_pipeline, VideoRecipe(steps=1200)),
    "predict1": _video("predict1", predict1.new_video_pipeline, VideoRecipe()),
    "predict1-t2w": _video("predict1-t2w", predict1.new_text_pipeline, VideoRecipe()),
    "transfer2.5": _video("transfer2.5", transfer25.new_pipeline, VideoRecipe(steps=300)),
    "qwen2.5-vl": _qwen("tiny:qwen2.5-vl"),
    "qwen3-vl": _qwen("tiny:qwen3-vl"),
}
