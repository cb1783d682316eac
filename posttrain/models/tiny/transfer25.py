"""`tiny:transfer2.5`: the files of nvidia/Cosmos-Transfer2.5 in diffusers layout, at a ten-thousandth of the size.

    transformer of tiny:predict2.5 + room for an image context --> transformer
    its blocks, projections at zero --> ControlNet --edges of the clips of demo:general--> trained for some seconds

Component classes and settings are those of `scripts/convert_cosmos_to_diffusers.py` in diffusers; only sizes differ.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from posttrain.data.controls import edge
from posttrain.models.catalog import TINY
from posttrain.models.cosmos_transfer25 import CosmosTransfer25
from posttrain.models.loading import NoGuardrail
from posttrain.models.tiny import predict25
from posttrain.models.tiny.pretrain import CLIP, MAX_SEQUENCE_LENGTH, Recipe, encode, fit
from posttrain.models.tiny.text import build_text_encoder, build_tokenizer
from posttrain.models.tiny.vae import Z_DIM, load_vae
from posttrain.models.torchvision_shim import ensure_torchvision

NAME = "tiny:transfer2.5"
RECIPE = Recipe(steps=300)
_WEIGHTS = "diffusion_pytorch_model.safetensors"
_IMAGE_CONTEXT = {"img_context_dim_in": 16, "img_context_dim_out": 128}
# The pipeline leaves the image context empty; what random layers make of nothing must not drown what was learnt.
_IMAGE_SCALE = 0.1
# What the published ControlNet reads: latents with room for more of them, the mask of given frames, the padding mask.
_CONTROL_CHANNELS = 130


def build(folder: Path, on_note: Callable[[str], None], base: Path, recipe: Recipe = RECIPE) -> None:
    """Writes the whole checkpoint under `folder` from that of tiny:predict2.5, about 15 s on one core."""
    with predict25.building(folder):
        on_note(f"{NAME}: assembling the checkpoint")
        assemble(folder, base)
        pretrain(folder, recipe, on_note)


def assemble(folder: Path, base: Path) -> None:
    """Writes every component; the transformer is that of `base`, the ControlNet changes nothing yet."""
    ensure_torchvision()
    from diffusers import Cosmos2_5_TransferPipeline

    gradients = torch.is_grad_enabled()
    tokenizer = build_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(predict25.SEED)
        text_encoder = build_text_encoder(tokenizer)
        transformer = _new_transformer(base)
        controlnet = _new_controlnet(transformer)
    pipe = Cosmos2_5_TransferPipeline(
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        transformer=transformer,
        controlnet=controlnet,
        vae=load_vae(),
        scheduler=predict25.new_scheduler(),
        safety_checker=NoGuardrail(),
    )
    with predict25.quiet_saving():
        pipe.save_pretrained(folder, safe_serialization=True)
    torch.set_grad_enabled(gradients)  # building a pipeline turns gradients off for the whole process


def pretrain(folder: Path, recipe: Recipe, on_note: Callable[[str], None]) -> None:
    """Trains the ControlNet of the checkpoint in `folder` on edges and writes it back."""
    family = CosmosTransfer25.load(
        folder,
        TINY[NAME],
        CLIP,
        max_sequence_length=MAX_SEQUENCE_LENGTH,
        dtype=torch.float32,
        device=torch.device("cpu"),
        controls={"edge": 1.0},
    )
    on_note(f"{NAME}: encoding demo:general")
    fit(family, encode(family, recipe, edge), recipe, on_note, name=NAME, module="controlnet")
    # the weights alone: save_pretrained would write the name of this folder into config.json
    save_file(family.published_state("controlnet"), folder / "controlnet" / _WEIGHTS, metadata={"format": "pt"})


def _new_transformer(base: Path) -> Any:
    transformer = predict25.new_transformer(controlnet_block_every_n=1, img_context_num_tokens=4, **_IMAGE_CONTEXT)
    missing, unknown = transformer.load_state_dict(load_file(base / "transformer" / _WEIGHTS), strict=False)
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
