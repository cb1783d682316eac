"""Adapters as files: the format of diffusers' pipelines for a transformer, peft's own folder for a ControlNet.

`CosmosControlNetModel` has no PEFT mixin, so diffusers cannot load an adapter into it; peft can, into any network.
"""

import json
from pathlib import Path
from typing import Any

import torch

from posttrain.errors import ModelError
from posttrain.models.torchvision_shim import ensure_torchvision

PIPELINE_FILE = "pytorch_lora_weights.safetensors"
PEFT_FILE = "adapter_model.safetensors"
_METADATA = "lora_adapter_metadata"  # where diffusers keeps the adapter's settings in its file
_PEFT_PREFIX = "base_model.model."


def write_adapter(name: str, network: Any, folder: Path) -> None:
    """Writes the adapter in `network`: `<folder>/pytorch_lora_weights.safetensors`, or a peft folder `<folder>/<name>`.

    Alpha, targets and variants lie beside the weights; without them a loaded adapter has another strength in silence.
    """
    if name == "transformer":
        _write_for_pipeline(network, folder)
    else:
        _write_for_peft(network, folder / name)


def read_adapter(name: str, network: torch.nn.Module, folder: Path) -> None:
    """Reads what `write_adapter` wrote into the adapter in `network`.

    Raises:
        ModelError: the file holds other layers than the adapter.
    """
    from peft import get_peft_model_state_dict, set_peft_model_state_dict
    from safetensors.torch import load_file

    in_pipeline = name == "transformer"
    path = folder / PIPELINE_FILE if in_pipeline else folder / name / PEFT_FILE
    prefix = f"{name}." if in_pipeline else _PEFT_PREFIX
    state = {key.removeprefix(prefix): value for key, value in load_file(path).items()}
    if state.keys() != get_peft_model_state_dict(network).keys():
        raise ModelError(f"{path} was written for other layers than this trial's adapter; start the trial afresh")
    set_peft_model_state_dict(network, state)


def add_peft_files(folder: Path) -> None:
    """Writes the adapter a second time, as peft loads it, where `folder` holds the file of diffusers' pipelines."""
    ensure_torchvision()  # peft imports it
    from peft import LoraConfig
    from safetensors import safe_open
    from safetensors.torch import save_file

    path, prefix = folder / PIPELINE_FILE, "transformer."
    if not path.is_file():
        return
    with safe_open(path, framework="pt") as file:
        settings = json.loads(file.metadata()[_METADATA])
        state = {f"{_PEFT_PREFIX}{key.removeprefix(prefix)}": file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    LoraConfig(**{key.removeprefix(prefix): value for key, value in settings.items()}).save_pretrained(str(folder))
    save_file(state, folder / PEFT_FILE, metadata={"format": "pt"})


def _write_for_pipeline(transformer: Any, folder: Path) -> None:
    from diffusers import Cosmos2_5_PredictBasePipeline
    from diffusers.training_utils import _collate_lora_metadata
    from peft import get_peft_model_state_dict

    Cosmos2_5_PredictBasePipeline.save_lora_weights(
        folder,
        transformer_lora_layers=get_peft_model_state_dict(transformer),
        **_collate_lora_metadata({"transformer": transformer}),
    )


def _write_for_peft(network: Any, folder: Path) -> None:
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    network.peft_config["default"].save_pretrained(str(folder))
    state = {
        f"{_PEFT_PREFIX}{key}": value.detach().cpu().contiguous()
        for key, value in get_peft_model_state_dict(network).items()
    }
    save_file(state, folder / PEFT_FILE, metadata={"format": "pt"})
