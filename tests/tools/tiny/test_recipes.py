"""Every shipped layer can be made again: its recipe runs, and gives files like the shipped ones."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from posttrain.models import tiny
from posttrain.models.tiny.layers import LAYERS, PACKED, merged
from tools.tiny.recipes import RECIPES, make
from tools.tiny.ship import ship

STEPS = 3
# The network that a layer's recipe trains; text encoders are random.
TRAINED = {
    "vae_wan": "vae/diffusion_pytorch_model.safetensors",
    "vae_cosmos": "vae/diffusion_pytorch_model.safetensors",
    "transfer2.5": "controlnet/diffusion_pytorch_model.safetensors",
    "qwen2.5-vl": "model.safetensors",
    "qwen3-vl": "model.safetensors",
}
TRANSFORMER = "transformer/diffusion_pytorch_model.safetensors"


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def made(layer: str, folder: Path, steps: int = STEPS) -> Path:
    folder.mkdir()
    make(layer, folder, lambda _: None, steps)
    return folder


def test_every_shipped_layer_has_a_recipe() -> None:
    assert set(RECIPES) == {path.name for path in LAYERS.iterdir()}
    for name, stack in tiny.CHECKPOINTS.items():
        assert RECIPES[stack[-1]].below == stack[:-1], name


@pytest.mark.full
@pytest.mark.parametrize("layer", RECIPES)
def test_a_recipe_writes_what_ships(layer: str, tmp_path: Path) -> None:
    state, gradients = torch.random.get_rng_state(), torch.is_grad_enabled()
    folder = made(layer, tmp_path / "made")
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.is_grad_enabled() == gradients
    into = shutil.copytree(LAYERS, tmp_path / "shipped")
    ship(folder, layer, RECIPES[layer].below, into)
    again, shipped = files(into / layer), files(LAYERS / layer)
    assert again.keys() == shipped.keys()
    for name in again:
        if name.endswith(PACKED):
            ours, theirs = (merged([root / layer / name]) for root in (into, LAYERS))
            assert {key: value.shape for key, value in ours.items()} == {
                key: value.shape for key, value in theirs.items()
            }
        elif not layer.startswith("vae"):  # its configuration holds statistics of the latents
            assert again[name] == shipped[name], name


@pytest.mark.full
@pytest.mark.parametrize("layer", ["predict2.5", "predict1", "transfer2.5", "qwen3-vl"])
def test_making_a_layer_twice_gives_the_same_files_and_its_training_moves_them(layer: str, tmp_path: Path) -> None:
    once, again, longer = (made(layer, tmp_path / str(i), steps) for i, steps in enumerate((2, 2, 3)))
    assert files(once) == files(again)
    trained = TRAINED.get(layer, TRANSFORMER)
    assert {name for name, data in files(longer).items() if data != files(once)[name]} == {trained}
    before, after = (load_file(folder / trained) for folder in (once, longer))
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed
    # pipelines project captions outside of what is trained
    assert not any(name.startswith("crossattn_proj") for name in changed)


@pytest.mark.full
@pytest.mark.timeout(600)
def test_a_layer_is_made_by_a_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tools.tiny", "text_t5", "--out", str(tmp_path)]
    root = Path(__file__).parents[3]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=500, cwd=root)
    assert "text_t5: 0.1" in done.stdout
    assert (tmp_path / "text_t5/text_encoder/model.safetensors.xz").is_file()


@pytest.mark.parametrize("name", ["tiny:transfer2.5", "tiny:qwen3-vl"])
def test_shipping_what_a_checkpoint_holds_gives_its_layer_again(name: str, cache: Path, tmp_path: Path) -> None:
    into, stack = shutil.copytree(LAYERS, tmp_path / "shipped"), tiny.CHECKPOINTS[name]
    ship(tiny.resolve(name), stack[-1], stack[:-1], into)
    assert files(into / stack[-1]).keys() == files(LAYERS / stack[-1]).keys()
    for path in (LAYERS / stack[-1]).rglob("*"):
        other = into / path.relative_to(LAYERS)
        if path.suffix == PACKED:
            ours, shipped = merged([other]), merged([path])
            assert ours.keys() == shipped.keys()
            assert all(np.array_equal(value, shipped[key]) for key, value in ours.items())
        elif path.is_file():
            assert other.read_bytes() == path.read_bytes()
