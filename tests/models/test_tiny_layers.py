"""Shipped layers: small, exact on every machine, cached by their content alone."""

import hashlib
import lzma
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, load_file, save

from posttrain.models import tiny
from posttrain.models.tiny import layers

# Of every file of each checkpoint. A layer that was made again changes those of its checkpoints.
DIGESTS = {
    "tiny:predict2.5": "aea6111c33b696a5",
    "tiny:predict2": "0233643495964999",
    "tiny:predict2-t2i": "7ba17aee0ef195c4",
    "tiny:predict1": "44ca8ad842387ebd",
    "tiny:predict1-t2w": "b108c1196d026309",
    "tiny:transfer2.5": "bf2be57d54befcb2",
    "tiny:qwen2.5-vl": "3b6f5b3922217702",
    "tiny:qwen3-vl": "c8095aaac37df3c2",
}


def digest(folder: Path) -> str:
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            whole.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return whole.hexdigest()[:16]


def test_every_checkpoint_has_the_recorded_bytes(cache: Path) -> None:
    assert {name: digest(tiny.resolve(name)) for name in tiny.CHECKPOINTS} == DIGESTS


def test_another_cpu_writes_the_same_bytes_and_needs_no_torch(tmp_path: Path) -> None:
    """Without vector instructions, as far as the libraries can be told to."""
    program = (
        "import sys; from posttrain.models import tiny; print(tiny.resolve('tiny:predict1'))\n"
        "assert not {'torch', 'diffusers', 'transformers'} & set(sys.modules)"
    )
    plain = {"ATEN_CPU_CAPABILITY": "default", "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4"}
    environment = {**os.environ, **plain, "POSTTRAIN_CACHE": str(tmp_path)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=True, env=environment, capture_output=True, text=True, timeout=100)
    assert digest(Path(done.stdout.strip())) == DIGESTS["tiny:predict1"]


def test_the_shipped_files_are_small_and_readable() -> None:
    files = [path for path in layers.LAYERS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 10_000_000
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in files)
    used = {layer for names in tiny.CHECKPOINTS.values() for layer in names}
    assert {path.name for path in layers.LAYERS.iterdir()} == used


def test_the_shipped_weights_are_half_precision_and_lose_nothing_on_the_way(cache: Path) -> None:
    for name, stack in tiny.CHECKPOINTS.items():
        for layer in stack:
            for path in (layers.LAYERS / layer).rglob("*.xz"):
                packed = load(lzma.decompress(path.read_bytes()))
                assert {value.dtype for value in packed.values()} == {np.dtype(np.float16)}
                written = load_file(tiny.resolve(name) / path.relative_to(layers.LAYERS / layer).with_suffix(""))
                assert {value.dtype for value in written.values()} == {np.dtype(np.float32)}
                assert all(np.array_equal(written[key], value.astype(np.float64)) for key, value in packed.items())


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package's layers in another folder, to change them there."""
    copied = shutil.copytree(layers.LAYERS, tmp_path / "shipped")
    monkeypatch.setattr(layers, "LAYERS", copied)
    return copied


def test_the_key_is_that_of_the_content(stack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = tiny.CHECKPOINTS["tiny:predict2"]
    copied = layers.key(names)
    monkeypatch.undo()
    assert layers.key(names) == copied  # neither the folder nor a module of the package is part of it


@pytest.mark.parametrize(
    "file", ["vae_wan/vae/config.json", "predict2/transformer/diffusion_pytorch_model.safetensors.xz"]
)
def test_a_changed_file_changes_the_keys_of_its_checkpoints_alone(stack: Path, file: str) -> None:
    before = {name: layers.key(names) for name, names in tiny.CHECKPOINTS.items()}
    (stack / file).write_bytes((stack / file).read_bytes() + b"\n")
    after = {name: layers.key(names) for name, names in tiny.CHECKPOINTS.items()}
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {name for name, names in tiny.CHECKPOINTS.items() if file.split("/", maxsplit=1)[0] in names}


def test_a_later_layer_replaces_files_and_adds_tensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "LAYERS", tmp_path / "shipped")
    half = np.float16
    for layer, tensors in {
        "lower": {"a": np.ones(2, half), "b": np.zeros(3, half)},
        "upper": {"b": np.full(3, 0.5, half), "c": np.full((1, 2), -2, half)},
    }.items():
        folder = tmp_path / "shipped" / layer / "net"
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(layer)
        (folder / "w.safetensors.xz").write_bytes(lzma.compress(save(tensors)))
    (tmp_path / "shipped/lower/index.json").write_text("{}")
    layers.assemble(("lower", "upper"), tmp_path / "out")
    weights = load_file(tmp_path / "out/net/w.safetensors")
    assert {name: value.tolist() for name, value in weights.items()} == {
        "a": [1, 1],
        "b": [0.5, 0.5, 0.5],
        "c": [[-2, -2]],
    }
    assert (tmp_path / "out/net/config.json").read_text() == "upper"
    assert (tmp_path / "out/index.json").read_text() == "{}"
