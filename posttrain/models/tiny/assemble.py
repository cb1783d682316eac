"""How a tiny checkpoint comes to be: assembled with random weights, saved by its pipeline, then briefly trained."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from posttrain.models.tiny.pretrain import Recipe, pretrain
from posttrain.models.torchvision_shim import ensure_torchvision

Note = Callable[[str], None]
_SEED = 0


def build(name: str, new_pipeline: Callable[[], Any], folder: Path, on_note: Note, recipe: Recipe) -> None:
    """Writes the whole checkpoint `name` under `folder`, within half a minute; deterministic on one machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # at this size more threads only wait for each other
    try:
        with torch.random.fork_rng(devices=[]):
            on_note(f"{name}: assembling the checkpoint")
            assemble(new_pipeline, folder)
            pretrain(name, folder, recipe, on_note)
    finally:
        torch.set_num_threads(threads)
    for weights in folder.rglob("*.safetensors"):
        weights.chmod(0o644)  # the library makes its files private, a shared cache is not


def assemble(new_pipeline: Callable[[], Any], folder: Path) -> None:
    """Writes every component of a new pipeline, its weights from a fixed seed."""
    ensure_torchvision()
    gradients = torch.is_grad_enabled()
    with torch.random.fork_rng(devices=[]), _quiet_saving():
        torch.manual_seed(_SEED)
        new_pipeline().save_pretrained(folder, safe_serialization=True)
    torch.set_grad_enabled(gradients)  # building a pipeline turns gradients off for the whole process


def new_transformer(**settings: Any) -> Any:
    """A `CosmosTransformer3DModel` of the tiny size; `settings` are what a generation publishes."""
    from diffusers import CosmosTransformer3DModel

    sizes: dict[str, Any] = {
        "num_attention_heads": 4,
        "attention_head_dim": 32,
        "num_layers": 2,
        "mlp_ratio": 2.0,
        "adaln_lora_dim": 32,
        "max_size": (128, 240, 240),
        "patch_size": (1, 2, 2),
        "concat_padding_mask": True,
        "extra_pos_embed_type": None,
    }
    return CosmosTransformer3DModel(**{**sizes, **settings})


@contextmanager
def _quiet_saving() -> Iterator[None]:
    """Without the libraries' progress bars, and without the remark that a safety checker cannot be saved."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    verbosity, bars = diffusers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    diffusers_logging.set_verbosity(diffusers_logging.CRITICAL)
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        diffusers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
