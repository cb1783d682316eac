"""Families of models: loading a checkpoint, its codecs, its loss and its own sampler.

`family_class` holds the registry. Importing this package loads no torch; `load_family` does.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posttrain.config import ModelConfig
from posttrain.errors import ModelError
from posttrain.models.catalog import DEFAULT_CONTROLS, CheckpointInfo, clip_of, conditioning_of, describe
from posttrain.models.vlm_catalog import VlmInfo, describe_vlm, rows_of

if TYPE_CHECKING:
    import torch

    from posttrain.models.base import VideoFamily
    from posttrain.models.cosmos_base import CosmosFamily
    from posttrain.models.vlm import VisionLanguageModel


def load_family(
    config: ModelConfig,
    precision: str,
    base_dir: Path,
    device: "torch.device",
    on_note: Callable[[str], None] | None = None,
) -> "VideoFamily":
    """Loads the checkpoint of a sweep file: a folder, a hub id, or a built-in one that is made when it is missing.

    Raises:
        ModelError: see `catalog.describe`, `catalog.clip_of` and the family's own `load`.
    """
    import torch

    info = describe(config.checkpoint, base_dir)
    folder = _folder(config.checkpoint, info, on_note)
    more: dict[str, Any] = {}
    if info.generation.takes_controls:
        from posttrain.models.hub import with_published_controlnet

        more["controls"] = controls = config.controls or DEFAULT_CONTROLS
        folder = with_published_controlnet(folder, config.checkpoint, next(iter(controls)), on_note)
    found = describe(str(folder)).generation.name  # what was taken on trust from a hub id can be read now
    if found != info.generation.name:
        raise ModelError(
            f"model.checkpoint: {config.checkpoint} was taken for {info.generation.name} by its name, but its "
            f"model_index.json says {found}; run the same command again, which reads that file first"
        )
    _tell_loading(config, on_note)
    return family_class(info.generation.name).load(
        folder,
        info.generation,
        clip_of(config, info),
        max_sequence_length=config.max_sequence_length or info.generation.max_sequence_length,
        dtype={"bf16": torch.bfloat16, "fp32": torch.float32}[precision],
        device=device,
        **more,
    )


def load_chat(
    config: ModelConfig,
    precision: str,
    base_dir: Path,
    device: "torch.device",
    on_note: Callable[[str], None] | None = None,
) -> "VisionLanguageModel":
    """Loads the vision-language checkpoint of a sweep file.

    Raises:
        ModelError: it is none, is not whole, or contradicts the file.
    """
    import torch

    from posttrain.models.vlm import VisionLanguageModel

    info = describe_vlm(config.checkpoint, base_dir)
    folder = _folder(config.checkpoint, info, on_note)
    found = describe_vlm(str(folder))  # a hub id that no list knows tells what it is once it is here
    if found is None:
        raise ModelError(f"model.checkpoint: {folder} holds no config.json, so it is no transformers checkpoint")
    _tell_loading(config, on_note)
    return VisionLanguageModel.load(
        folder,
        dtype={"bf16": torch.bfloat16, "fp32": torch.float32}[precision],
        device=device,
        spec=rows_of(config, info or found),
        max_tokens=config.max_sequence_length,
        max_pixels=config.max_pixels,
    )


def _tell_loading(config: ModelConfig, on_note: Callable[[str], None] | None) -> None:
    if on_note is not None:
        on_note(f"loading the model ({config.checkpoint})")


def family_class(generation: str) -> "type[CosmosFamily]":
    """The class that loads a generation, by the name that `catalog` gives it."""
    from posttrain.models.cosmos_base import CosmosFamily
    from posttrain.models.cosmos_predict1 import CosmosPredict1, CosmosPredict1Text
    from posttrain.models.cosmos_predict2 import CosmosPredict2, CosmosPredict2Image
    from posttrain.models.cosmos_predict25 import CosmosPredict25
    from posttrain.models.cosmos_transfer25 import CosmosTransfer25

    classes: dict[str, type[CosmosFamily]] = {
        "predict2.5": CosmosPredict25,
        "predict2": CosmosPredict2,
        "predict2-t2i": CosmosPredict2Image,
        "predict1": CosmosPredict1,
        "predict1-t2w": CosmosPredict1Text,
        "transfer2.5": CosmosTransfer25,
    }
    return classes[generation]


def checkpoint_folder(checkpoint: str, base_dir: Path = Path(), on_note: Callable[[str], None] | None = None) -> Path:
    """The folder with the files of a checkpoint of any family; made, or fetched, when it is missing.

    Raises:
        ModelError: the checkpoint is not there or not whole.
    """
    info = describe_vlm(checkpoint, base_dir) or describe(checkpoint, base_dir)
    return _folder(checkpoint, info, on_note)


def _folder(checkpoint: str, info: CheckpointInfo | VlmInfo | None, on_note: Callable[[str], None] | None) -> Path:
    if info is not None and info.path is not None:
        return info.path
    if checkpoint.startswith("tiny:"):
        from posttrain.models import tiny

        return tiny.resolve(checkpoint, on_note)
    from posttrain.models.hub import download

    return download(checkpoint, on_note)


__all__ = ["CheckpointInfo", "checkpoint_folder", "clip_of", "conditioning_of", "describe", "load_chat", "load_family"]
