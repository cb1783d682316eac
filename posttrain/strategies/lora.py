"""LoRA by peft, on the transformer of a diffusion model, or on the ControlNet of one that has it."""

from pathlib import Path
from typing import Any

import torch

from posttrain.config import LoraConfig
from posttrain.models.base import Trainable
from posttrain.models.layers import check_targets, linear_layers
from posttrain.strategies.adapters import read_adapter, write_adapter
from posttrain.strategies.base import Strategy
from posttrain.strategies.state import writes


class LoraStrategy(Strategy):
    """Low-rank adapters on the attention and feed-forward layers of one network."""

    def __init__(self, config: LoraConfig) -> None:
        self.config = config

    def attach(self, model: Trainable, seed: int) -> list[torch.nn.Parameter]:
        """Adds the adapter in float32 whatever the base is held in; B starts at zero, so the output is the base's.

        Raises:
            ModelError: a target pattern matches no layer, or the rank exceeds the width of a matched one.
        """
        import peft

        name, network = _adapted(model)
        check_targets(name, linear_layers(network), self.config.target_modules, self.config.rank)
        torch.manual_seed(seed)  # peft draws A from the global generator
        adapter = peft.LoraConfig(
            r=self.config.rank,
            lora_alpha=self.config.rank if self.config.alpha is None else self.config.alpha,
            lora_dropout=self.config.dropout,
            target_modules=list(self.config.target_modules),
            use_rslora=self.config.rslora,
            use_dora=self.config.dora,
        )
        peft.inject_adapter_in_model(adapter, network)
        trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
        for parameter in trainable:
            parameter.data = parameter.data.float()
        return trainable

    def detach(self, model: Trainable) -> None:
        """Puts the original layers back; the base was never merged, so its weights are untouched."""
        from diffusers.utils.peft_utils import recurse_remove_peft_layers

        _, network = _adapted(model)
        recurse_remove_peft_layers(network)
        if hasattr(network, "peft_config"):
            del network.peft_config
        network.requires_grad_(False)

    def save(self, model: Trainable, folder: Path) -> None:
        """Writes the adapter with its alpha and targets; see `write_adapter`."""
        if writes():
            write_adapter(*_adapted(model), folder)

    def load(self, model: Trainable, folder: Path) -> None:
        """Reads the adapter back.

        Raises:
            ModelError: the file holds other layers than the attached adapter.
        """
        read_adapter(*_adapted(model), folder)


def _adapted(model: Trainable) -> tuple[str, Any]:
    """The network that gets the adapter, with its name."""
    name = "controlnet" if "controlnet" in model.modules else "transformer"
    return name, model.modules[name]
