"""A trained network as a folder that plain diffusers reads: its configuration, and safetensors in shards if large."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from posttrain.paths import write_json_atomic

WEIGHTS_PATTERN = "diffusion_pytorch_model{suffix}.safetensors"


def write_diffusers(network: torch.nn.Module, state: Mapping[str, torch.Tensor], folder: Path) -> None:
    """Writes the weights `state` with the configuration of `network`, so that `from_pretrained(folder)` loads them."""
    from huggingface_hub import save_torch_state_dict

    configured: Any = network  # diffusers' mixins carry no types
    configured.save_config(folder)
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    settings.pop("_name_or_path", None)  # where the base lay on this machine
    write_json_atomic(folder / "config.json", settings)
    save_torch_state_dict(dict(state), folder, filename_pattern=WEIGHTS_PATTERN)


def read_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Every tensor of a folder that we wrote ourselves, on the CPU."""
    from safetensors.torch import load_file

    state: dict[str, torch.Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        state |= load_file(path)
    return state
