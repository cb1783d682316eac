"""LoRA by peft, in the pipeline format of diffusers with its metadata (without it, alpha is lost in silence)."""

import difflib
from pathlib import Path
from typing import Any

import torch

from posttrain.config import LoraConfig
from posttrain.errors import ModelError
from posttrain.models.base import Trainable
from posttrain.strategies.base import Strategy

WEIGHT_NAME = "pytorch_lora_weights.safetensors"
_PREFIX = "transformer."


class LoraStrategy(Strategy):
    """Low-rank adapters on the attention and feed-forward layers of a diffusers transformer."""

    def __init__(self, config: LoraConfig) -> None:
        self.config = config

    def attach(self, model: Trainable, seed: int) -> list[torch.nn.Parameter]:
        """Adds the adapter in float32 whatever the base is held in; B starts at zero, so the output is the base's.

        Raises:
            ModelError: a target pattern matches no layer, or the rank exceeds the width of a matched one.
        """
        import peft

        transformer = model.modules["transformer"]

        check_targets(transformer, self.config.target_modules, self.config.rank)
        torch.manual_seed(seed)  # peft draws A from the global generator
        alpha = self.config.rank if self.config.alpha is None else self.config.alpha
        adapter = peft.LoraConfig(
            r=self.config.rank,
            lora_alpha=alpha,
            lora_dropout=self.config.dropout,
            target_modules=list(self.config.target_modules),
        )
        _diffusers(transformer).add_adapter(adapter)
        trainable = [parameter for parameter in transformer.parameters() if parameter.requires_grad]
        for parameter in trainable:
            parameter.data = parameter.data.float()
        return trainable

    def detach(self, model: Trainable) -> None:
        """Puts the original layers back; the base was never merged, so its weights are untouched."""
        transformer = model.modules["transformer"]
        _diffusers(transformer).unload_lora()
        transformer.requires_grad_(False)

    def save(self, model: Trainable, folder: Path) -> None:
        """Writes `pytorch_lora_weights.safetensors`, alpha and targets in its header."""
        from diffusers import Cosmos2_5_PredictBasePipeline
        from diffusers.training_utils import _collate_lora_metadata
        from peft import get_peft_model_state_dict

        transformer = model.modules["transformer"]
        Cosmos2_5_PredictBasePipeline.save_lora_weights(
            folder,
            transformer_lora_layers=get_peft_model_state_dict(transformer),
            **_collate_lora_metadata({"transformer": transformer}),
        )

    def load(self, model: Trainable, folder: Path) -> None:
        """Reads the adapter back.

        Raises:
            ModelError: the file holds other layers than the attached adapter.
        """
        from peft import get_peft_model_state_dict, set_peft_model_state_dict
        from safetensors.torch import load_file

        transformer = model.modules["transformer"]
        path = folder / WEIGHT_NAME
        state = {name.removeprefix(_PREFIX): value for name, value in load_file(path).items()}
        if state.keys() != get_peft_model_state_dict(transformer).keys():
            raise ModelError(f"{path} was written for other layers than this trial's adapter; start the trial afresh")
        set_peft_model_state_dict(transformer, state)


def check_targets(transformer: torch.nn.Module, patterns: list[str] | tuple[str, ...], rank: int) -> None:
    """Every pattern must match a linear layer by the end of its name, and no matched one be narrower than the rank.

    peft itself accepts a list in which a single pattern matches and ignores the rest in silence.

    Raises:
        ModelError: names the pattern or the layer, with what is there instead.
    """
    linear = {name: module for name, module in transformer.named_modules() if isinstance(module, torch.nn.Linear)}
    for pattern in patterns:
        matched = {name: module for name, module in linear.items() if name == pattern or name.endswith(f".{pattern}")}
        if not matched:
            endings = sorted({_ending(name) for name in linear})
            nearest = difflib.get_close_matches(pattern, endings, n=1, cutoff=0.3)
            hint = f"; did you mean {nearest[0]!r}?" if nearest else "."
            raise ModelError(
                f"strategy.target_modules: {pattern!r} matches no linear layer of the transformer{hint} "
                f"It has {', '.join(endings)}"
            )
        for name, module in matched.items():
            width = min(module.in_features, module.out_features)
            if rank > width:
                raise ModelError(
                    f"strategy.rank: {rank} exceeds the width {width} of layer {name}; a rank above the width adds "
                    f"parameters but no freedom: use at most {width}"
                )


def _ending(name: str) -> str:
    """The part of a layer's name that repeats over the blocks: `transformer_blocks.0.attn1.to_q` -> `to_q`."""
    last = name.rsplit("transformer_blocks.", 1)[-1].split(".", 1)[-1]
    head, _, tail = last.partition(".")
    return tail if head in {"attn1", "attn2"} else last


def _diffusers(transformer: torch.nn.Module) -> Any:
    return transformer  # diffusers' PEFT mixin carries no types
