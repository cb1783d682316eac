"""Counts what networks really compute."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from torch.nn.modules.module import register_module_forward_pre_hook

# The classes of the encoders of tiny:predict2.5.
VAE, TEXT_ENCODER = "WanEncoder3d", "Qwen2_5_VLForConditionalGeneration"


@contextmanager
def forwards() -> Iterator[Counter[str]]:
    """Counts the forward passes of every network of this process by class, for the length of the block."""
    counts: Counter[str] = Counter()
    handle = register_module_forward_pre_hook(lambda module, _: counts.update([type(module).__name__]))
    try:
        yield counts
    finally:
        handle.remove()
