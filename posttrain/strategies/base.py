"""The interface of a strategy: attach it to a transformer, train, save, and take it off without a trace."""

from pathlib import Path
from typing import Any, Protocol

import torch


class Strategy(Protocol):
    """One way of changing a transformer; made for one trial and detached at its end."""

    def __init__(self, config: Any) -> None: ...

    def attach(self, transformer: torch.nn.Module, seed: int) -> list[torch.nn.Parameter]:
        """Makes the trainable parameters, initialised from `seed` alone, and returns them.

        Raises:
            ModelError: the configuration does not fit the layers of this transformer.
        """
        ...

    def detach(self, transformer: torch.nn.Module) -> None:
        """Leaves the transformer as it was before `attach`: same weights, modules and gradient flags."""
        ...

    def save(self, transformer: torch.nn.Module, folder: Path) -> None:
        """Writes what was trained as safetensors, in the format that plain diffusers loads."""
        ...

    def load(self, transformer: torch.nn.Module, folder: Path) -> None:
        """Reads what `save` wrote into an attached transformer, bit for bit."""
        ...
