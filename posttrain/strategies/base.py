"""The interface of a strategy: attach it to a model, train, save, and take it off without a trace."""

from pathlib import Path
from typing import Any, Protocol

import torch

from posttrain.models.base import Trainable


class Strategy(Protocol):
    """One way of changing a model; made for one trial and detached at its end."""

    def __init__(self, config: Any) -> None: ...

    def attach(self, model: Trainable, seed: int) -> list[torch.nn.Parameter]:
        """Makes the trainable parameters, initialised from `seed` alone, and returns them.

        Raises:
            ModelError: the configuration does not fit the layers of this model.
        """
        ...

    def detach(self, model: Trainable) -> None:
        """Leaves the model as it was before `attach`: same weights, modules and gradient flags."""
        ...

    def save(self, model: Trainable, folder: Path) -> None:
        """Writes what was trained as safetensors, in the format that the plain libraries load."""
        ...

    def load(self, model: Trainable, folder: Path) -> None:
        """Reads what `save` wrote into an attached model, bit for bit."""
        ...
