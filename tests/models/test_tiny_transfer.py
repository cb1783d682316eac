"""tiny:transfer2.5: the published layout, a plain reload, and a ControlNet that lies elsewhere, as published."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from posttrain.models import tiny
from posttrain.models.catalog import TINY
from posttrain.models.cosmos_transfer25 import CosmosTransfer25
from posttrain.models.hub import join_controlnet
from tests.plain_diffusers import plain_pipeline

NAME = "tiny:transfer2.5"
WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def checkpoint(cache: Path) -> Path:
    return tiny.resolve(NAME)


def test_the_layout_is_the_published_one(checkpoint: Path) -> None:
    index = json.loads((checkpoint / "model_index.json").read_text())
    assert index["_class_name"] == "Cosmos2_5_TransferPipeline"
    assert index["controlnet"] == ["diffusers", "CosmosControlNetModel"]
    controlnet = json.loads((checkpoint / "controlnet/config.json").read_text())
    assert (controlnet["in_channels"], controlnet["latent_channels"]) == (130, 18)
    assert controlnet["use_crossattn_projection"]
    transformer = json.loads((checkpoint / "transformer/config.json").read_text())
    blocks = range(0, transformer["num_layers"], transformer["controlnet_block_every_n"])
    assert controlnet["n_controlnet_blocks"] == len(blocks)
    assert transformer["img_context_dim_in"] == controlnet["img_context_dim_in"]


def test_its_transformer_is_that_of_predict(checkpoint: Path, tiny: Path) -> None:
    base, ours = (load_file(folder / "transformer" / WEIGHTS) for folder in (tiny, checkpoint))
    assert all(torch.equal(ours[name], value) for name, value in base.items())
    assert {name for name in ours if name not in base} != set()
    assert all("img" in name for name in ours if name not in base)


def test_the_controlnet_was_trained_and_reads_captions_like_the_transformer(checkpoint: Path) -> None:
    controlnet, transformer = (load_file(checkpoint / part / WEIGHTS) for part in ("controlnet", "transformer"))
    assert controlnet["control_blocks.0.after_proj.weight"].abs().max() > 0
    assert controlnet["control_blocks.0.before_proj.weight"].abs().max() > 0
    assert torch.equal(controlnet["crossattn_proj.0.weight"], transformer["crossattn_proj.0.weight"])


def test_plain_diffusers_reloads_it_and_samples_from_a_control(checkpoint: Path) -> None:
    frames = plain_pipeline(checkpoint)(
        controls=torch.zeros(1, 5, 3, 32, 32),
        prompt="A red body. Navy wall, black ground.",
        negative_prompt="grey",
        height=32,
        width=32,
        num_frames=5,
        num_frames_per_chunk=5,
        num_inference_steps=2,
        guidance_scale=2.0,
        max_sequence_length=64,
        output_type="np",
    ).frames
    assert np.shape(frames) == (1, 5, 32, 32, 3)
    assert np.isfinite(frames).all()


def test_a_controlnet_that_lies_elsewhere_is_joined(checkpoint: Path, tmp_path: Path) -> None:
    """Published: the pipeline without its ControlNet on one branch, the ControlNet of each control on another."""
    general = shutil.copytree(checkpoint, tmp_path / "general")
    elsewhere = (general / "controlnet").rename(tmp_path / "edge")
    index = json.loads((general / "model_index.json").read_text())
    del index["controlnet"]
    (general / "model_index.json").write_text(json.dumps(index))
    joined = join_controlnet(general, elsewhere)
    assert join_controlnet(general, elsewhere) == joined
    assert not (general / "controlnet").exists()
    family, whole = (
        CosmosTransfer25.load(
            folder,
            TINY[NAME],
            TINY[NAME].clip,
            max_sequence_length=64,
            dtype=torch.float32,
            device=torch.device("cpu"),
        )
        for folder in (joined, checkpoint)
    )
    assert family.weights_key == whole.weights_key
    for name in ("transformer", "controlnet"):
        published = whole.published_state(name)
        assert all(torch.equal(value, published[key]) for key, value in family.published_state(name).items())
