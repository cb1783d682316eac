"""Reading a diffusers checkpoint: quietly, without its text encoder, and with gradients left as they were."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from posttrain.errors import ModelError
from posttrain.models.torchvision_shim import ensure_torchvision


class NoGuardrail:
    """Stands where the pipeline wants a safety checker while we train; the published guardrail is the user's to add."""

    def to(self, *_: object) -> "NoGuardrail":
        return self

    def check_text_safety(self, _: str) -> bool:
        return True

    def check_video_safety(self, frames: Any) -> Any:
        return frames


def load_pipeline(class_name: str, folder: Path, dtype: torch.dtype, device: torch.device) -> Any:
    """The pipeline of a checkpoint folder, every network frozen and in evaluation mode; the text encoder stays on disk.

    Raises:
        ModelError: a file is missing or unreadable, or the pipeline is of another class.
    """
    ensure_torchvision()
    import diffusers

    quiet()
    try:
        with torch.enable_grad():  # loading turns gradients off for the whole process; the block puts them back
            pipe = getattr(diffusers, class_name).from_pretrained(
                folder,
                text_encoder=None,
                tokenizer=None,
                safety_checker=NoGuardrail(),
                # latents are float32 and shared by trials of any precision: the codec is read in float32 too
                dtype={"vae": torch.float32, "default": dtype},
                use_safetensors=True,
                local_files_only=True,
            )
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"model.checkpoint: {folder} cannot be loaded: {error}") from error
    pipe.set_progress_bar_config(disable=True)
    pipe.to(device)
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            part.requires_grad_(False).eval()
    return pipe


def quiet() -> None:
    """Loading bars and warnings of the libraries would tear the live table apart."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for logging in (diffusers_logging, transformers_logging):
        logging.disable_progress_bar()
        logging.set_verbosity_error()


@contextmanager
def evaluating(modules: Iterable[torch.nn.Module]) -> Iterator[None]:
    """Networks in evaluation mode for the length of the block, each put back into the mode it had."""
    before = [(module, module.training) for module in modules]
    for module, _ in before:
        module.eval()
    try:
        yield
    finally:
        for module, was_training in before:
            module.train(was_training)
