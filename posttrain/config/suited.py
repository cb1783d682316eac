"""Keys that mean something for some kinds of training alone.

They are looked for in the document before it is validated, so that a key that would have no effect is an error at its
line, not ignored.
"""

import copy
from collections.abc import Iterator
from typing import Any

from posttrain.config.base import Finding
from posttrain.config.filters import OF_CLIPS
from posttrain.config.support import Kind

_VLM: tuple[Kind, ...] = ("sft", "rl")
_NAMES: dict[Kind, str] = {
    "diffusion": "diffusion models",
    "sft": "supervised training of vision-language models",
    "rl": "RL",
}
# Keys that only some kinds read; `*` stands for any name, and an entry of a list goes by its type.
ONLY: dict[str, tuple[Kind, ...]] = {
    "model.frames": ("diffusion",),
    "model.height": ("diffusion",),
    "model.width": ("diffusion",),
    "model.max_sequence_length": ("diffusion",),
    "model.controls": ("diffusion",),
    "model.max_frames": _VLM,
    "model.max_pixels": _VLM,
    "data.sources.*.windows": ("diffusion",),
    "data.augmentations": ("diffusion",),
    "data.augmentation_variants": ("diffusion",),
    **{f"data.filters.{name}": ("diffusion",) for name in OF_CLIPS},
    "training.conditioning_frames": ("diffusion",),
    "training.shift": ("diffusion",),
    "evaluation.psnr": ("diffusion",),
    "evaluation.answers": _VLM,
    "overfit.probe": ("diffusion",),
    "overfit.closure": ("diffusion",),
    "overfit.contrast": ("diffusion",),
    "overfit.answer_loss": ("sft",),
    "overfit.image_gain": ("sft",),
    "overfit.reward_gain": ("rl",),
}


def keys_of_other_kinds(document: dict[str, Any], kind: Kind) -> list[Finding]:
    """Keys, and names of search dimensions, that have no effect on this kind of training."""
    found: list[Finding] = []
    for pattern, kinds in ONLY.items():
        if kind in kinds:
            continue
        meant = " and ".join(_NAMES[name] for name in kinds if name not in _VLM or kinds != _VLM)
        message = f"is for {meant or 'vision-language models'}, and this is {_NAMES[kind]}"
        found += [(path, message, "delete it") for path in _present(document, tuple(pattern.split(".")))]
        space = document.get("search_space")
        if isinstance(space, dict):
            searched = [name for name in space if isinstance(name, str) and f"{name}.".startswith(f"{pattern}.")]
            found += [(("search_space", name), message, "delete it") for name in searched]
    return found


def without_keys_of_other_kinds(document: dict[str, Any], kind: Kind) -> dict[str, Any]:
    """The document as people should read it: what this kind of training does not read is left out."""
    shown: dict[str, Any] = copy.deepcopy(document)
    for pattern, kinds in ONLY.items():
        if kind not in kinds:
            for *sections, key in reversed(list(_present(shown, tuple(pattern.split("."))))):
                node: Any = shown
                for section in sections:
                    node = node[int(section) if isinstance(node, list) else section]
                del node[int(key) if isinstance(node, list) else key]
    return shown


def _present(node: Any, pattern: tuple[str, ...], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if not pattern:
        yield above
        return
    if isinstance(node, dict):
        for name in list(node) if pattern[0] == "*" else [pattern[0]] if pattern[0] in node else []:
            yield from _present(node[name], pattern[1:], (*above, str(name)))
    if isinstance(node, list):
        for index, entry in enumerate(node):
            if pattern[0] in ("*", entry.get("type") if isinstance(entry, dict) else entry):
                yield from _present(entry, pattern[1:], (*above, str(index)))
