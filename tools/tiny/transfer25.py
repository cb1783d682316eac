"""`tiny:transfer2.5`: the files of nvidia/Cosmos-Transfer2.5 in diffusers layout, at a ten-thousandth of the size.

    transformer of tiny:predict2.5 + room for an image context --> transformer
    its blocks, projections at zero --> ControlNet --edges of the clips of demo:general--> trained for some seconds

Component classes and settings are those of `scripts/convert_cosmos_to_diffusers.py` in diffusers; only sizes differ.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from posttrain.models.loading import NoGuardrail
from tools.tiny.networks import new_transformer
from tools.tiny.predict25 import TRANSFORMER, new_scheduler
from tools.tiny.text import load_text
from tools.tiny.vae import Z_DIM, load_vae

_IMAGE_CONTEXT = {"img_context_dim_in": 16, "img_context_dim_out": 128}
# The pipeline leaves the image context empty; what random layers make of nothing must not drown what was learnt.
_IMAGE_SCALE = 0.1
# What the published ControlNet reads: latents with room for more of them, the mask of given frames, the padding mask.
_CONTROL_CHANNELS = 130


def new_pipeline(folder: Path) -> Any:
    """The pipeline on the tiny:predict2.5 in `folder`, with a ControlNet that changes nothing yet."""
    from diffusers import Cosmos2_5_TransferPipeline

    transformer = _new_transformer(folder)
    return Cosmos2_5_TransferPipeline(
        **load_text(folder),
        transformer=transformer,
        controlnet=_new_controlnet(transformer),
        vae=load_vae(folder),
        scheduler=new_scheduler(),
        safety_checker=NoGuardrail(),
    )


def _new_transformer(base: Path) -> Any:
    settings = {**TRANSFORMER, **_IMAGE_CONTEXT}
    transformer = new_transformer(controlnet_block_every_n=1, img_context_num_tokens=4, **settings)
    weights = load_file(base / "transformer" / "diffusion_pytorch_model.safetensors")
    missing, unknown = transformer.load_state_dict(weights, strict=False)
    assert not unknown
    assert all("img" in name for name in missing)
    for block in transformer.transformer_blocks:
        block.attn2.v_img.weight.data *= _IMAGE_SCALE
    return transformer


def _new_controlnet(transformer: Any) -> Any:
    """A copy of the transformer's blocks behind projections that are zero: it starts by changing nothing."""
    from diffusers import CosmosControlNetModel

    config = transformer.config
    controlnet = CosmosControlNetModel(
        n_controlnet_blocks=config.num_layers,
        in_channels=_CONTROL_CHANNELS,
        latent_channels=Z_DIM + 2,
        model_channels=config.num_attention_heads * config.attention_head_dim,
        num_attention_heads=config.num_attention_heads,
        attention_head_dim=config.attention_head_dim,
        mlp_ratio=config.mlp_ratio,
        text_embed_dim=config.text_embed_dim,
        adaln_lora_dim=config.adaln_lora_dim,
        patch_size=config.patch_size,
        max_size=config.max_size,
        rope_scale=config.rope_scale,
        extra_pos_embed_type=None,
        use_crossattn_projection=True,
        crossattn_proj_in_channels=config.crossattn_proj_in_channels,
        encoder_hidden_states_channels=config.encoder_hidden_states_channels,
        **_IMAGE_CONTEXT,
    )
    controlnet.patch_embed_base.load_state_dict(transformer.patch_embed.state_dict())
    for part in ("time_embed", "crossattn_proj", "img_context_proj"):
        getattr(controlnet, part).load_state_dict(getattr(transformer, part).state_dict())
    for block, source in zip(controlnet.control_blocks, transformer.transformer_blocks, strict=True):
        block.load_state_dict(source.state_dict(), strict=False)  # the source has no projections
        for projection in filter(None, (block.before_proj, block.after_proj)):
            torch.nn.init.zeros_(projection.weight)
            torch.nn.init.zeros_(projection.bias)
    return controlnet
