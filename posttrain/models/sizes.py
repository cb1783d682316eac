"""How large a checkpoint is, told from the headers of its safetensors files: nothing is loaded."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from posttrain.config import FullConfig, LoraConfig, TrialConfig
from posttrain.models.hub import cached
from posttrain.models.layers import check_targets, matched, published_layers
from posttrain.models.reading import Info
from posttrain.models.weights import tensor_shapes

_NETWORKS = ("transformer", "controlnet")


@dataclass(frozen=True)
class Sizes:
    """Numbers of parameters.

    Attributes:
        base: of the networks that a worker holds while it trains; the text encoder is there only while prompts are
            encoded.
        trained: of the networks that a trial trains or adapts.
        adapters: of the adapters that the file's own configuration would add; 0 for other strategies.
    """

    base: int
    trained: int
    adapters: int


def sizes_of(config: TrialConfig, info: Info) -> Sizes | None:
    """None where the checkpoint's files are not on this machine yet."""
    folder = info.path or _at_hand(config.model.checkpoint)
    if folder is None:
        return None
    # a checkpoint of transformers keeps all in one folder
    networks = network_folders(folder) or {"model": folder}
    counts = {name: _count(tensor_shapes(place)) for name, place in networks.items()}
    trained = [name for name in networks if name in _trained_names(config, networks)]
    adapters = 0
    if isinstance(config.strategy, LoraConfig):
        adapters = _adapters(config.strategy, [networks[name] for name in trained])
    return Sizes(sum(counts.values()), sum(counts[name] for name in trained), adapters)


def check_adapter(config: TrialConfig, info: Info, ranks: Iterable[int]) -> None:
    """Raises ModelError where the targets of a LoRA match no layer, or one of its ranks exceeds a layer's width."""
    folder = info.path or _at_hand(config.model.checkpoint)
    if not isinstance(config.strategy, LoraConfig) or folder is None:
        return
    networks = network_folders(folder)
    for name in _trained_names(config, networks):
        layers = published_layers(networks[name])
        for rank in ranks:
            check_targets(name, layers, config.strategy.target_modules, rank)


def network_folders(folder: Path) -> dict[str, Path]:
    """The trainable networks of a diffusers checkpoint, by the names of their folders."""
    return {part: folder / part for part in _NETWORKS if (folder / part).is_dir()}


def _trained_names(config: TrialConfig, networks: Mapping[str, Path]) -> set[str]:
    """Of a Transfer model the ControlNet, unless the file says otherwise."""
    if isinstance(config.strategy, FullConfig) and config.strategy.modules is not None:
        return set(config.strategy.modules)
    return {"controlnet"} if "controlnet" in networks else set(networks)


def _adapters(strategy: LoraConfig, folders: list[Path]) -> int:
    networks = [published_layers(folder) for folder in folders]
    found = [matched(layers, target) for layers in networks for target in strategy.target_modules]
    return sum(strategy.rank * sum(widths) for layers in found for widths in layers.values())


def _count(shapes: Mapping[str, tuple[int, ...]]) -> int:
    return sum(map(math.prod, shapes.values()))


def _at_hand(checkpoint: str) -> Path | None:
    """The folder of a built-in checkpoint, which is written within a second, or of one in the local hub cache."""
    if checkpoint.startswith("tiny:"):
        from posttrain.models import tiny

        return tiny.resolve(checkpoint)
    found = cached(checkpoint, "model_index.json") or cached(checkpoint, "config.json")
    return found.parent if found is not None else None
