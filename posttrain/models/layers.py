"""Which linear layers an adapter goes to, and whether it fits: on a loaded network, or on the headers of its files."""

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from posttrain.errors import ModelError
from posttrain.models.weights import tensor_shapes

if TYPE_CHECKING:
    import torch

# Name of a linear layer -> (out_features, in_features).
Widths = Mapping[str, tuple[int, int]]


def linear_layers(network: "torch.nn.Module") -> Widths:
    """The linear layers of a network in memory."""
    import torch

    return {
        name: (module.out_features, module.in_features)
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.Linear)
    }


def published_layers(folder: Path) -> Widths:
    """The linear layers of a network's folder, from the headers of its files: every matrix that is a `weight`."""
    return {
        name.removesuffix(".weight"): (shape[0], shape[1])
        for name, shape in tensor_shapes(folder).items()
        if len(shape) == 2 and name.endswith(".weight")
    }


def matched(layers: Widths, pattern: str) -> Widths:
    """The layers whose names end with `pattern`, at a dot."""
    return {name: widths for name, widths in layers.items() if f".{name}".endswith(f".{pattern}")}


def check_targets(name: str, layers: Widths, patterns: Sequence[str], rank: int) -> None:
    """Every pattern must match a linear layer by the end of its name, and no matched one be narrower than the rank.

    peft itself accepts a list in which a single pattern matches and ignores the rest in silence.

    Raises:
        ModelError: names the pattern or the layer, with what is there instead.
    """
    for pattern in patterns:
        found = matched(layers, pattern)
        if not found:
            endings = sorted({_ending(layer) for layer in layers})
            nearest = difflib.get_close_matches(pattern, endings, n=1, cutoff=0.3)
            hint = f"; did you mean {nearest[0]!r}?" if nearest else "."
            raise ModelError(
                f"strategy.target_modules: {pattern!r} matches no linear layer of the {name}{hint} "
                f"It has {', '.join(endings)}"
            )
        for layer, widths in found.items():
            if rank > min(widths):
                raise ModelError(
                    f"strategy.rank: {rank} exceeds the width {min(widths)} of layer {layer}; a rank above the width "
                    f"adds parameters but no freedom: use at most {min(widths)}"
                )


def _ending(name: str) -> str:
    """The part of a layer's name that repeats over the blocks: `transformer_blocks.0.attn1.to_q` -> `to_q`."""
    last = re.sub(r".*(transformer|control)_blocks\.\d+\.", "", name)
    head, _, tail = last.partition(".")
    return tail if head in {"attn1", "attn2"} else last
