"""LoRA by peft, on the transformer of a diffusion model, or on the ControlNet of one that has it."""

import difflib
import re
from pathlib import Path
from typing import Any

import torch

from posttrain.config import LoraConfig
from posttrain.errors import ModelError
from posttrain.models.base import Trainable
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
        check_targets(name, network, self.config.target_modules, self.config.rank)
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


def check_targets(name: str, network: torch.nn.Module, patterns: list[str] | tuple[str, ...], rank: int) -> None:
    """Every pattern must match a linear layer by the end of its name, and no matched one be narrower than the rank.

    peft itself accepts a list in which a single pattern matches and ignores the rest in silence.

    Raises:
        ModelError: names the pattern or the layer, with what is there instead.
    """
    linear = {key: module for key, module in network.named_modules() if isinstance(module, torch.nn.Linear)}
    for pattern in patterns:
        matched = {key: module for key, module in linear.items() if key == pattern or key.endswith(f".{pattern}")}
        if not matched:
            endings = sorted({_ending(key) for key in linear})
            nearest = difflib.get_close_matches(pattern, endings, n=1, cutoff=0.3)
            hint = f"; did you mean {nearest[0]!r}?" if nearest else "."
            raise ModelError(
                f"strategy.target_modules: {pattern!r} matches no linear layer of the {name}{hint} "
                f"It has {', '.join(endings)}"
            )
        for key, module in matched.items():
            width = min(module.in_features, module.out_features)
            if rank > width:
                raise ModelError(
                    f"strategy.rank: {rank} exceeds the width {width} of layer {key}; a rank above the width adds "
                    f"parameters but no freedom: use at most {width}"
                )


def _ending(name: str) -> str:
    """The part of a layer's name that repeats over the blocks: `transformer_blocks.0.attn1.to_q` -> `to_q`."""
    last = re.sub(r".*(transformer|control)_blocks\.\d+\.", "", name)
    head, _, tail = last.partition(".")
    return tail if head in {"attn1", "attn2"} else last
