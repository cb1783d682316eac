"""Every shipped layer can be made again: its recipe runs, and gives files like the shipped ones."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from posttrain.models import tiny
from posttrain.models.tiny.layers import LAYERS, PACKED, merged
from tools.tiny import vae_forward
from tools.tiny.recipes import RECIPES, make
from tools.tiny.ship import ship

STEPS = 2
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
    """What the recipe of `layer` writes, which leaves torch and diffusers as they were."""
    state, gradients, norm = torch.random.get_rng_state(), torch.is_grad_enabled(), vae_forward.WanRMS_norm.forward
    folder.mkdir()
    make(layer, folder, lambda _: None, steps)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.is_grad_enabled() == gradients
    assert vae_forward.WanRMS_norm.forward is norm
    return folder


def shipped_into(root: Path, layer: str, folder: Path) -> Path:
    """The layer that `folder` becomes beside copies of all that ship."""
    return ship(folder, layer, RECIPES[layer].below, shutil.copytree(LAYERS, root))


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder that a layer's recipe writes in `STEPS` steps, made for the first test that asks for it."""
    root = tmp_path_factory.mktemp("made")
    return cache(lambda layer: made(layer, root / layer))


def test_every_shipped_layer_has_a_recipe() -> None:
    assert set(RECIPES) == {path.name for path in LAYERS.iterdir()}
    for name, stack in tiny.CHECKPOINTS.items():
        assert RECIPES[stack[-1]].below == stack[:-1], name


@pytest.mark.full
@pytest.mark.parametrize("layer", RECIPES)
def test_a_recipe_writes_what_ships(layer: str, once: Callable[[str], Path], tmp_path: Path) -> None:
    into = tmp_path / "shipped"
    again, shipped = files(shipped_into(into, layer, once(layer))), files(LAYERS / layer)
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
def test_making_a_layer_twice_gives_the_same_files_and_its_training_moves_them(
    layer: str, once: Callable[[str], Path], tmp_path: Path
) -> None:
    again, longer = (made(layer, tmp_path / str(steps), steps) for steps in (STEPS, STEPS + 1))
    first = files(once(layer))
    assert files(again) == first
    trained = TRAINED.get(layer, TRANSFORMER)
    assert {name for name, data in files(longer).items() if data != first[name]} == {trained}
    before, after = (load_file(folder / trained) for folder in (again, longer))
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed
    # pipelines project captions outside of what is trained
    assert not any(name.startswith("crossattn_proj") for name in changed)


@pytest.mark.full
@pytest.mark.timeout(600)
def test_a_command_makes_the_same_layer(once: Callable[[str], Path], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tools.tiny", "text_t5", "--out", str(tmp_path / "out")]
    root = Path(__file__).parents[3]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=500, cwd=root)
    assert "text_t5: 0.1" in done.stdout
    here = files(shipped_into(tmp_path / "shipped", "text_t5", once("text_t5")))
    assert files(tmp_path / "out" / "text_t5") == here
    assert "text_encoder/model.safetensors.xz" in here


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
