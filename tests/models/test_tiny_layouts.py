"""The built-in Predict2 and Predict1 checkpoints: published layout, codec and tokenizer."""

import json
from typing import Any

import numpy as np
import pytest
import torch

from posttrain.data import ClipSpec, decode, demo
from posttrain.data.captions import read_caption
from posttrain.models import tiny
from posttrain.models.catalog import TINY
from posttrain.models.torchvision_shim import ensure_torchvision

# Name -> pipeline, in_channels, rope_scale, extra_pos_embed_type, codec, scheduler; from convert_cosmos_to_diffusers.py
LAYOUTS: dict[str, tuple[Any, ...]] = {
    "tiny:predict2": (
        "Cosmos2VideoToWorldPipeline",
        *(17, [1.0, 3.0, 3.0], None, "AutoencoderKLWan", "FlowMatchEulerDiscreteScheduler"),
    ),
    "tiny:predict2-t2i": (
        "Cosmos2TextToImagePipeline",
        *(16, [1.0, 4.0, 4.0], None, "AutoencoderKLWan", "FlowMatchEulerDiscreteScheduler"),
    ),
    "tiny:predict1": (
        "CosmosVideoToWorldPipeline",
        *(17, [2.0, 1.0, 1.0], "learnable", "AutoencoderKLCosmos", "EDMEulerScheduler"),
    ),
    "tiny:predict1-t2w": (
        "CosmosTextToWorldPipeline",
        *(16, [2.0, 1.0, 1.0], "learnable", "AutoencoderKLCosmos", "EDMEulerScheduler"),
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_layout_is_the_published_one(name: str) -> None:
    pipeline, in_channels, rope_scale, positions, codec, scheduler = LAYOUTS[name]
    checkpoint = tiny.resolve(name)
    index = json.loads((checkpoint / "model_index.json").read_text())
    assert index["_class_name"] == pipeline
    assert index["text_encoder"] == ["transformers", "T5EncoderModel"]
    assert index["tokenizer"][1] in {"T5Tokenizer", "T5TokenizerFast"}
    assert index["vae"] == ["diffusers", codec]
    assert index["scheduler"] == ["diffusers", scheduler]
    transformer = json.loads((checkpoint / "transformer/config.json").read_text())
    assert (transformer["in_channels"], transformer["out_channels"]) == (in_channels, 16)
    assert (transformer["rope_scale"], transformer["extra_pos_embed_type"]) == (rope_scale, positions)
    weights = {path.name for path in checkpoint.rglob("*") if path.suffix in {".bin", ".pt", ".safetensors"}}
    assert weights == {"model.safetensors", "diffusion_pytorch_model.safetensors"}


def test_predict1_keeps_the_schedule_and_the_codec_of_the_published_files() -> None:
    checkpoint = tiny.resolve("tiny:predict1")
    scheduler = json.loads((checkpoint / "scheduler/scheduler_config.json").read_text())
    assert (scheduler["sigma_data"], scheduler["sigma_min"], scheduler["sigma_max"]) == (0.5, 0.002, 80)
    vae = json.loads((checkpoint / "vae/config.json").read_text())
    assert (vae["spatial_compression_ratio"], vae["temporal_compression_ratio"], vae["patch_size"]) == (8, 8, 4)
    assert len(vae["latents_mean"]) == len(vae["latents_std"]) == 16 * 16, "flat, 16 latent frames a channel"


def test_every_demo_caption_fits_and_is_read_whole() -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny.resolve("tiny:predict2") / "tokenizer", local_files_only=True)
    for root in (demo.resolve("general"), *(demo.resolve(f"shapes/{name}") for name in demo.shapes.folders())):
        for path in sorted((root / "captions").iterdir()):
            caption = read_caption(path)[0]
            ids = tokenizer(caption).input_ids
            assert len(ids) <= TINY["tiny:predict2"].max_sequence_length, caption
            assert tokenizer.unk_token_id not in ids
            assert tokenizer.decode(ids, skip_special_tokens=True) == caption


@pytest.mark.parametrize(("folder", "least_db"), [("fixed-high", 19.0), ("tracking-high", 18.0), ("zooming-low", 20.0)])
@torch.no_grad()
def test_the_codec_reconstructs_the_demo(folder: str, least_db: float) -> None:
    ensure_torchvision()
    from diffusers import AutoencoderKLCosmos

    vae, values = AutoencoderKLCosmos.from_pretrained(tiny.resolve("tiny:predict1") / "vae").eval(), []
    for video in sorted((demo.resolve(f"shapes/{folder}") / "videos").iterdir())[:6]:
        frames = decode(video, ClipSpec(17, 32, 32, 8.0))
        pixels = torch.from_numpy(np.moveaxis(frames, -1, 0).astype(np.float32))[None] / 127.5 - 1
        decoded = vae.decode(vae.encode(pixels).latent_dist.mode()).sample.clamp(-1, 1)
        values.append(-10 * torch.log10((decoded - pixels).square().mean() / 4))
    assert torch.stack(values).mean() >= least_db
