"""The interface of a strategy: attach it to a model, train, save, and take it off without a trace."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from posttrain.models.base import Trainable


class Strategy(ABC):
    """One way of changing a model; made for one trial and detached at its end.

    In a group of workers every one of them calls every method, in the same order; rank 0 writes the files.

    Attributes:
        computes_in: what weights are cast to in the forward pass, once attached; None where they are used as they are.
    """

    computes_in: torch.dtype | None = None

    @abstractmethod
    def __init__(self, config: Any) -> None: ...

    @abstractmethod
    def attach(self, model: Trainable, seed: int) -> list[torch.nn.Parameter]:
        """Makes the trainable parameters, initialised from `seed` alone, and returns them.

        Raises:
            ModelError: the configuration does not fit the layers of this model.
        """

    @abstractmethod
    def detach(self, model: Trainable) -> None:
        """Leaves the model as it was before `attach`: same weights, modules and gradient flags."""

    @abstractmethod
    def save(self, model: Trainable, folder: Path) -> None:
        """Writes what was trained as safetensors, in the format that the plain libraries load."""

    @abstractmethod
    def load(self, model: Trainable, folder: Path) -> None:
        """Reads what `save` wrote into an attached model, bit for bit."""

    def stepped(self, model: Trainable) -> None:  # noqa: B027 - most strategies have nothing to do
        """Told after each optimizer step."""

    @contextmanager
    def measured(self, model: Trainable) -> Iterator[None]:
        """For the length of the block the model is what is to be measured and exported."""
        yield
