"""How large a checkpoint is, told from the headers of its safetensors files: nothing is loaded."""

import math
from dataclasses import dataclass
from pathlib import Path

from posttrain.config import FullConfig, LoraConfig, TrialConfig
from posttrain.models.reading import Info
from posttrain.models.weights import tensor_shapes

Shapes = dict[str, tuple[int, ...]]
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
    folder = info.path or _built(config.model.checkpoint)
    if folder is None:
        return None
    networks = {part: tensor_shapes(folder / part) for part in _NETWORKS if (folder / part).is_dir()}
    if not networks:  # a checkpoint of transformers keeps all in one folder
        networks = {"model": tensor_shapes(folder)}
    base = sum(map(_count, networks.values()))
    trained = [shapes for name, shapes in networks.items() if name in _trained_names(config, networks)]
    adapters = _adapters(config.strategy, trained) if isinstance(config.strategy, LoraConfig) else 0
    return Sizes(base, sum(map(_count, trained)), adapters)


def _trained_names(config: TrialConfig, networks: dict[str, Shapes]) -> set[str]:
    """Of a Transfer model the ControlNet, unless the file says otherwise."""
    if isinstance(config.strategy, FullConfig) and config.strategy.modules is not None:
        return set(config.strategy.modules)
    return {"controlnet"} if "controlnet" in networks else set(networks)


def _adapters(strategy: LoraConfig, trained: list[Shapes]) -> int:
    return sum(
        strategy.rank * (shape[0] + shape[1])
        for shapes in trained
        for name, shape in shapes.items()
        if len(shape) == 2 and any(f".{name}".endswith(f".{target}.weight") for target in strategy.target_modules)
    )


def _count(shapes: Shapes) -> int:
    return sum(map(math.prod, shapes.values()))


def _built(checkpoint: str) -> Path | None:
    """The folder of a built-in checkpoint, or of one in the local hub cache."""
    if checkpoint.startswith("tiny:"):
        from posttrain.models import tiny

        return tiny.built(checkpoint)
    from huggingface_hub import try_to_load_from_cache

    for index in ("model_index.json", "config.json"):
        found = try_to_load_from_cache(checkpoint, index)
        if isinstance(found, str):
            return Path(found).parent
    return None
