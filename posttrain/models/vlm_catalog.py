"""What a vision-language checkpoint is, told from its `config.json`, without loading a tensor.

A diffusers checkpoint holds `model_index.json`; a transformers one holds `config.json`, whose `model_type` names the
architecture. Cosmos-Reason1 is a Qwen2.5-VL, Cosmos-Reason2 a Qwen3-VL.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path

from posttrain.config import ModelConfig
from posttrain.data import RowSpec
from posttrain.errors import ModelError
from posttrain.models.hub import cached
from posttrain.models.weights import check_folder

FAMILY = "vlm"


@dataclass(frozen=True)
class VlmGeneration:
    """An architecture, and how its videos are sampled where the sweep file is silent."""

    name: str
    rows: RowSpec


# `smart_resize` of the models' processors in transformers raises above it, for pictures and for videos.
MAX_ASPECT = 200.0
# `model_type` of config.json. Sampling: 2 frames a second as in the models' own processors, 32 frames at most (theirs
# is 768, which no training batch holds).
ARCHITECTURES: dict[str, VlmGeneration] = {
    "qwen2_5_vl": VlmGeneration("qwen2.5-vl", RowSpec(max_frames=32, fps=2.0, max_aspect=MAX_ASPECT)),
    "qwen3_vl": VlmGeneration("qwen3-vl", RowSpec(max_frames=32, fps=2.0, max_aspect=MAX_ASPECT)),
}
NEWEST = ARCHITECTURES["qwen3_vl"]
TINY: dict[str, VlmGeneration] = {
    "tiny:qwen2.5-vl": VlmGeneration("qwen2.5-vl", RowSpec(max_frames=4, fps=2.0, max_aspect=MAX_ASPECT)),
    "tiny:qwen3-vl": VlmGeneration("qwen3-vl", RowSpec(max_frames=4, fps=2.0, max_aspect=MAX_ASPECT)),
}
# Told before they are fetched; any other hub id is asked for its config.json.
HUB: dict[str, str] = {
    "nvidia/Cosmos-Reason1-7B": "qwen2_5_vl",
    "nvidia/Cosmos-Reason2-2B": "qwen3_vl",
    "nvidia/Cosmos-Reason2-8B": "qwen3_vl",
    "Qwen/Qwen2.5-VL-3B-Instruct": "qwen2_5_vl",
    "Qwen/Qwen2.5-VL-7B-Instruct": "qwen2_5_vl",
    "Qwen/Qwen3-VL-2B-Instruct": "qwen3_vl",
    "Qwen/Qwen3-VL-4B-Instruct": "qwen3_vl",
    "Qwen/Qwen3-VL-8B-Instruct": "qwen3_vl",
}
_FILES = ("preprocessor_config.json", "processor_config.json")


@dataclass(frozen=True)
class VlmInfo:
    """A vision-language checkpoint as far as its name and `config.json` tell; `path` is None for one on the hub."""

    generation: VlmGeneration
    path: Path | None


def describe_vlm(checkpoint: str, base_dir: Path = Path()) -> VlmInfo | None:
    """Tells the architecture of `checkpoint`: `tiny:<name>`, a folder or a hub id; None where it is no such model.

    Raises:
        ModelError: its folder is not whole, or holds a transformers model of another architecture.
    """
    if checkpoint in TINY:
        return VlmInfo(TINY[checkpoint], None)
    folder = (base_dir / checkpoint).expanduser()
    if folder.is_dir():
        if (folder / "model_index.json").is_file() or not (folder / "config.json").is_file():
            return None
        generation = _architecture(folder / "config.json")
        _check_processor(folder)
        check_folder(folder)
        return VlmInfo(generation, folder)
    found = cached(checkpoint, "config.json") if checkpoint.count("/") == 1 and not folder.exists() else None
    if found is not None:
        return VlmInfo(_architecture(found), None)
    return VlmInfo(ARCHITECTURES[HUB[checkpoint]], None) if checkpoint in HUB else None


def rows_of(config: ModelConfig, info: VlmInfo) -> RowSpec:
    """How a sweep samples videos: what the file says, and the architecture's own where it is silent.

    Raises:
        ModelError: the file names another family than the checkpoint's.
    """
    if config.family not in (None, FAMILY):
        raise ModelError(
            f"model.family: the file says {config.family}, but {config.checkpoint} is a {info.generation.name} "
            f"checkpoint of {FAMILY}; leave model.family out, or name another checkpoint"
        )
    rows = info.generation.rows
    return replace(rows, max_frames=config.max_frames or rows.max_frames, fps=config.fps or rows.fps)


def _architecture(config: Path) -> VlmGeneration:
    try:
        model_type = str(json.loads(config.read_text(encoding="utf-8"))["model_type"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"model.checkpoint: {config} cannot be read ({error}); fetch the checkpoint again") from error
    if model_type not in ARCHITECTURES:
        raise ModelError(
            f"model.checkpoint: {config} names the architecture {model_type}, which this version cannot train; it can "
            f"train {', '.join(ARCHITECTURES)}, and diffusers checkpoints (they hold model_index.json)"
        )
    return ARCHITECTURES[model_type]


def _check_processor(folder: Path) -> None:
    missing = [name for name in ("tokenizer_config.json",) if not (folder / name).is_file()]
    if not any((folder / name).is_file() for name in _FILES):
        missing.append(_FILES[0])
    if missing:
        raise ModelError(f"model.checkpoint: {folder / missing[0]} is missing; fetch the checkpoint again")
