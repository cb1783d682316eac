"""The training of the codecs: one pass equals the chunked codec, and what is written is what the checkpoints hold."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from posttrain.models import tiny
from tools.tiny import train_vae, vae, vae_forward

CHECKPOINTS = {"wan": "tiny:predict2.5", "cosmos": "tiny:predict1"}


@torch.no_grad()
def test_one_pass_over_a_clip_equals_the_chunked_codec(cache: Path) -> None:
    model = vae.load_vae(tiny.resolve("tiny:predict2.5")).double()
    pixels = torch.rand(1, 3, 9, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    latents = model.encode(pixels).latent_dist.mode()
    torch.testing.assert_close(vae_forward.encode(model, pixels)[:, :16], latents)
    torch.testing.assert_close(vae_forward.decode(model, latents).clamp(-1, 1), model.decode(latents).sample)


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_the_training_of_the_codec_writes_what_the_checkpoint_holds(cache: Path, tmp_path: Path, name: str) -> None:
    phases = tuple(replace(phase, steps=2) for phase in train_vae.CODECS[name].phases)
    codec = replace(train_vae.CODECS[name], phases=phases)
    rng = np.random.default_rng(0)
    clip = train_vae.Clip(*(rng.integers(0, 255, (17, size, size, 3), np.uint8) for size in (32, 64)))
    notes: list[str] = []
    with torch.random.fork_rng(), vae_forward.fast_norm():
        model = train_vae.train(codec, [clip], {"noise": [clip]}, notes.append)
    codec.save(model, train_vae.all_latents(codec, model, [clip]), tmp_path)
    made, shipped = (folder / "vae" for folder in (tmp_path, tiny.resolve(CHECKPOINTS[name])))
    weights = "diffusion_pytorch_model.safetensors"
    assert load_file(made / weights).keys() == load_file(shipped / weights).keys()
    assert "held out: noise" in notes[-1]
