"""An adapter fused into a copy of its base: networks that load without peft, in the layout of diffusers."""

from pathlib import Path

import torch

from posttrain.models.folders import write_diffusers
from posttrain.models.torchvision_shim import ensure_torchvision
from posttrain.strategies.adapters import PIPELINE_FILE


def merge_adapter(base: Path, adapter: Path, out: Path) -> None:
    """Writes the adapted network of the checkpoint folder `base` to `<out>/<network>`, float32.

    Args:
        adapter: what `LoraStrategy.save` wrote.
    """
    ensure_torchvision()
    merge = _merged_transformer if (adapter / PIPELINE_FILE).is_file() else _merged_controlnet
    with torch.enable_grad():  # loading turns gradients off for the whole process; the block puts them back
        merge(base, adapter, out)


def _merged_transformer(base: Path, adapter: Path, out: Path) -> None:
    from diffusers import CosmosTransformer3DModel

    network = CosmosTransformer3DModel.from_pretrained(base, subfolder="transformer", torch_dtype=torch.float32)
    network.load_lora_adapter(adapter, prefix="transformer", weight_name=PIPELINE_FILE)
    network.fuse_lora()
    network.unload_lora()
    write_diffusers(network, network.state_dict(), out / "transformer")


def _merged_controlnet(base: Path, adapter: Path, out: Path) -> None:
    from diffusers import CosmosControlNetModel
    from peft import PeftModel

    network = CosmosControlNetModel.from_pretrained(base, subfolder="controlnet", torch_dtype=torch.float32)
    merged = PeftModel.from_pretrained(network, str(adapter / "controlnet")).merge_and_unload()
    write_diffusers(merged, merged.state_dict(), out / "controlnet")
