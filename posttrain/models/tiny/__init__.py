"""Built-in tiny checkpoints: the published on-disk layout at a size that trains on one CPU core within seconds.

`resolve("tiny:predict2.5")` gives a checkpoint folder in the cache, written on the first call within a second from the
trained weights that ship with the package. A folder is named by the content of what it is made from, written aside
under a lock and renamed: processes that ask at the same time wait for one of them, and a kill leaves nothing that
counts.

    resolve --> layers.assemble: the layers of CHECKPOINTS, over each other --> a folder for diffusers or transformers

The weights were trained by `tools/tiny`, which makes them again.
"""

import difflib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from posttrain import cache
from posttrain.errors import ModelError, environment_faults
from posttrain.models.tiny import layers
from posttrain.paths import cache_dir, copy_folder

Note = Callable[[str], None]
_PREFIX = "tiny:"

# Name -> the layers it is made of, lowest first.
CHECKPOINTS: dict[str, tuple[str, ...]] = {
    "tiny:predict2.5": ("vae_wan", "text_qwen", "predict2.5"),
    "tiny:predict2": ("vae_wan", "text_t5", "predict2"),
    "tiny:predict2-t2i": ("vae_wan", "text_t5", "predict2-t2i"),
    "tiny:predict1": ("vae_cosmos", "text_t5", "predict1"),
    "tiny:predict1-t2w": ("vae_cosmos", "text_t5", "predict1-t2w"),
    "tiny:transfer2.5": ("vae_wan", "text_qwen", "predict2.5", "transfer2.5"),
    "tiny:qwen2.5-vl": ("qwen2.5-vl",),
    "tiny:qwen3-vl": ("qwen3-vl",),
}


def resolve(name: str, progress: Note | None = None) -> Path:
    """The checkpoint folder of the built-in `name`, written first if the cache lacks it; `progress` gets short texts.

    Raises:
        ModelError: there is no such built-in checkpoint.
        EnvironmentFault: the cache cannot be written.
    """
    target = _target(_known(name))
    if cache.touch(target):
        return target
    with environment_faults(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):
            if not target.is_dir():  # another process may have written it while this one waited
                if progress is not None:
                    progress(f"{name}: writing the checkpoint")
                _write_aside(name, target)
    return target


def write(name: str, out_dir: Path) -> Path:
    """Writes the built-in checkpoint `name` as files under `out_dir`, which must be empty or new.

    Raises:
        ModelError: there is no such built-in checkpoint, or `out_dir` holds something.
        EnvironmentFault: `out_dir` cannot be written.
    """
    source = resolve(name)
    if out_dir.exists() and (not out_dir.is_dir() or any(out_dir.iterdir())):
        raise ModelError(f"{out_dir} is not an empty folder; name a new one for the checkpoint {name!r}")
    copy_folder(source, out_dir)
    return out_dir


def _target(name: str) -> Path:
    return cache_dir() / "tiny" / f"{name.removeprefix(_PREFIX)}-{layers.key(CHECKPOINTS[name])}"


def _write_aside(name: str, target: Path) -> None:
    """Writes under the lock of `target`; what lies aside under its name was left by a process that was killed."""
    aside = target.with_name(f".{target.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    try:
        layers.assemble(CHECKPOINTS[name], aside)
        os.replace(aside, target)  # noqa: PTH105 - Path.replace says nothing about folders
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _known(name: str) -> str:
    if name in CHECKPOINTS:
        return name
    near = difflib.get_close_matches(name, CHECKPOINTS, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ModelError(f"model.checkpoint: no built-in checkpoint {name!r}{hint}; there is {', '.join(CHECKPOINTS)}")
