"""How large a checkpoint is, told from the headers of its safetensors files: nothing is loaded."""

import math
from pathlib import Path

from posttrain.models.weights import tensor_shapes


def num_parameters(folder: Path, part: str = "") -> int:
    """Parameters in the files of one part of a checkpoint folder, or in the folder itself."""
    return sum(math.prod(shape) for shape in tensor_shapes(folder / part).values())


def adapter_parameters(folder: Path, part: str, targets: tuple[str, ...], rank: int) -> int:
    """Parameters of LoRA adapters of `rank` on the linear layers whose names end like `targets`."""
    shapes = tensor_shapes(folder / part)
    matched = [
        shape
        for name, shape in shapes.items()
        if len(shape) == 2 and any(f".{name}".endswith(f".{target}.weight") for target in targets)
    ]
    return sum(rank * (rows + columns) for rows, columns in matched)
