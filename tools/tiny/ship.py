"""Packs a checkpoint folder into a layer that ships with the package; `posttrain.models.tiny.layers` reads it.

Weights are rounded to 8 significant bits, the precision of bfloat16, and stored as float16, whose range they need not
leave. The zeros at the end of each mantissa let xz bring the whole to two thirds of its size.
"""

import lzma
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save

from posttrain.models.tiny.layers import LAYERS, PACKED, merged

SIGNIFICANT_BITS = 8
# lp and pb of 1: the two bytes of a number are modelled apart.
_XZ = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 3, "lp": 1, "pb": 1}]


def ship(folder: Path, layer: str, below: Iterable[str] = (), into: Path = LAYERS) -> Path:
    """Replaces the layer named `layer` by what `folder` holds and the layers `below` do not, and gives its folder.

    Raises:
        ValueError: a weight does not fit into float16.
    """
    out = into / layer
    shutil.rmtree(out, ignore_errors=True)
    lower = [into / name for name in below]
    for source in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = source.relative_to(folder)
        if source.suffix == ".safetensors":
            packed = Path(f"{name}{PACKED}")
            known = merged(path / packed for path in lower if (path / packed).is_file())
            _ship_weights(source, known, out / packed)
        elif not _same_below(source, [path / name for path in lower]):
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, out / name)
    return out


def rounded(values: npt.NDArray[Any]) -> npt.NDArray[np.float16]:
    """`values` in float16 with no more than `SIGNIFICANT_BITS` significant bits.

    Raises:
        ValueError: a value is too large for float16, or not finite.
    """
    mantissa, exponent = np.frexp(values.astype(np.float32))
    scaled = np.ldexp(np.rint(np.ldexp(mantissa, SIGNIFICANT_BITS)), exponent - SIGNIFICANT_BITS)
    if not (np.abs(scaled) <= np.finfo(np.float16).max).all():
        raise ValueError(f"the weights reach {np.abs(values).max()}, float16 ends at {np.finfo(np.float16).max}")
    half: npt.NDArray[np.float16] = scaled.astype(np.float16)
    return half


def _ship_weights(source: Path, known: Mapping[str, npt.NDArray[Any]], out: Path) -> None:
    tensors = {name: rounded(value) for name, value in load_file(source).items()}
    new = {
        name: value for name, value in tensors.items() if name not in known or not np.array_equal(value, known[name])
    }
    if new:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(lzma.compress(save(new), format=lzma.FORMAT_XZ, filters=_XZ))


def _same_below(source: Path, lower: list[Path]) -> bool:
    found = [path for path in lower if path.is_file()]
    return bool(found) and found[-1].read_bytes() == source.read_bytes()
