"""Shipped layers, and how those of one checkpoint become its folder.

A layer is a folder of files as they lie in a checkpoint, except that `NAME.safetensors` is stored as
`NAME.safetensors.xz`: float16 with 8 significant bits, compressed. Layers lie over each other like those of a
container image. A file of a later layer replaces one below it, and weights are merged tensor by tensor, so what
checkpoints share (codec, text encoder, the transformer of Predict2.5 in Transfer2.5) ships once.

Every step is exact (decompression, float16 to float32), so all machines write the same bytes. No torch, diffusers or
transformers is needed. `tools/tiny` makes the layers.
"""

import hashlib
import lzma
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load, save_file

LAYERS = Path(__file__).with_name("shipped")
PACKED = ".xz"
# Part of every key: raise it when `assemble` writes something else from the same layers.
_VERSION = 1

Tensors = dict[str, npt.NDArray[Any]]


def key(layers: Iterable[str]) -> str:
    """Twelve hex digits that name the checkpoint made of these layers."""
    digest = hashlib.sha256(str(_VERSION).encode())
    for path, parts in _files(layers).items():
        for part in parts:
            digest.update(path.encode() + b"\0" + hashlib.sha256(part.read_bytes()).digest())
    return digest.hexdigest()[:12]


def assemble(layers: Iterable[str], folder: Path) -> None:
    """Writes the checkpoint made of `layers` into the empty `folder`, its weights in float32."""
    for name, parts in _files(layers).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == PACKED:
            write_weights(path.with_suffix(""), merged(parts))
        else:
            shutil.copyfile(parts[-1], path)


def merged(parts: Iterable[Path]) -> Mapping[str, npt.NDArray[Any]]:
    """The tensors of packed weights, later files over earlier ones."""
    tensors: Tensors = {}
    for part in parts:
        tensors |= load(lzma.decompress(part.read_bytes()))
    return tensors


def write_weights(path: Path, tensors: Mapping[str, npt.NDArray[Any]]) -> None:
    """Writes the float32 weights that the loaders of diffusers and transformers read."""
    save_file({name: value.astype(np.float32) for name, value in tensors.items()}, path, metadata={"format": "pt"})
    path.chmod(0o644)  # safetensors makes its files private, a shared cache is not


def _files(layers: Iterable[str]) -> dict[str, list[Path]]:
    """Path in the checkpoint -> the files of that path, lowest layer first; sorted by path."""
    files: dict[str, list[Path]] = {}
    for layer in layers:
        for path in (LAYERS / layer).rglob("*"):
            if path.is_file():
                files.setdefault(path.relative_to(LAYERS / layer).as_posix(), []).append(path)
    return dict(sorted(files.items()))
