"""Built-in tiny checkpoints: the published on-disk layout at a size that trains on one CPU core within seconds.

`resolve("tiny:predict2.5")` gives a checkpoint folder in the cache, built on the first call within half a minute from
a shipped VAE and the clips of demo:general. A folder is named by all that it is made from, built aside under a lock
and renamed: processes that ask at the same time wait for one build, and a kill leaves nothing that counts.

    resolve --> build --> assemble (predict*.py, text.py or t5.py, vae*.py) --> pretrain --> a folder for diffusers
    resolve --> qwen_pretrain.build --> assemble (qwen.py) --> training --> a folder for transformers

`train_vae.py`, with `vae_forward.py` and `vae_optim.py`, makes the shipped VAEs again; nothing else imports them.
"""

import difflib
import hashlib
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from posttrain import cache
from posttrain.data import demo
from posttrain.errors import ModelError, environment_faults
from posttrain.paths import cache_dir, copy_folder

if TYPE_CHECKING:
    from posttrain.models.tiny.pretrain import Recipe

Note = Callable[[str], None]
_PREFIX = "tiny:"


def resolve(name: str, progress: Note | None = None) -> Path:
    """The checkpoint folder of the built-in `name`, built first if the cache lacks it; `progress` gets short texts.

    Raises:
        ModelError: there is no such built-in checkpoint.
        EnvironmentFault: the cache cannot be written.
    """
    build = CHECKPOINTS[_known(name)]
    target = _target(name)
    if cache.touch(target):
        return target
    with environment_faults(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):
            if not target.is_dir():  # another process may have built it while this one waited
                _build_aside(build, target, progress or (lambda _: None))
    return target


def built(name: str) -> Path | None:
    """The folder of the built-in `name` where the cache has it."""
    target = _target(name)
    return target if target.is_dir() else None


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
    return cache_dir() / "tiny" / f"{name.removeprefix(_PREFIX)}-{_key()}"


def _build_aside(build: Callable[[Path, Note], None], target: Path, note: Note) -> None:
    """Builds under the lock of `target`; what lies aside under its name was left by a process that was killed."""
    aside = target.with_name(f".{target.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    try:
        build(aside, note)
        os.replace(aside, target)  # noqa: PTH105 - Path.replace says nothing about folders
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _known(name: str) -> str:
    if name in CHECKPOINTS:
        return name
    near = difflib.get_close_matches(name, CHECKPOINTS, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ModelError(f"model.checkpoint: no built-in checkpoint {name!r}{hint}; there is {', '.join(CHECKPOINTS)}")


def _key() -> str:
    """Names what a checkpoint is made from: the recipe is this package's source, the weights its data files."""
    digest = hashlib.sha256(demo.resolve("general").name.encode())
    for path in sorted(Path(__file__).parent.iterdir()):
        if path.suffix in (".py", ".safetensors"):
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def build(name: str, folder: Path, note: Note, recipe: "Recipe | None" = None) -> None:
    """Builds the checkpoint `name` in an empty folder, by its own recipe or by another."""
    from posttrain.models.tiny import assemble, predict1, predict2, predict25, transfer25  # load torch and diffusers
    from posttrain.models.tiny.pretrain import Recipe

    new_pipeline, own = {
        "tiny:predict2.5": (predict25.new_pipeline, Recipe(steps=1000)),
        "tiny:predict2": (predict2.new_video_pipeline, Recipe()),
        "tiny:predict2-t2i": (predict2.new_image_pipeline, Recipe(steps=1200)),  # all depends on the text
        "tiny:predict1": (predict1.new_video_pipeline, Recipe()),
        "tiny:predict1-t2w": (predict1.new_text_pipeline, Recipe()),
        "tiny:transfer2.5": (lambda: transfer25.new_pipeline(resolve("tiny:predict2.5", note)), Recipe(steps=300)),
    }[name]
    assemble.build(name, new_pipeline, folder, note, recipe or own)


def _qwen(name: str) -> Callable[[Path, Note], None]:
    def build(folder: Path, note: Note) -> None:
        from posttrain.models.tiny import qwen_pretrain  # loads torch and transformers

        qwen_pretrain.build(name, folder, note)

    return build


# Name -> what builds it in an empty folder.
CHECKPOINTS: dict[str, Callable[[Path, Note], None]] = {
    "tiny:predict2.5": partial(build, "tiny:predict2.5"),
    "tiny:predict2": partial(build, "tiny:predict2"),
    "tiny:predict2-t2i": partial(build, "tiny:predict2-t2i"),
    "tiny:predict1": partial(build, "tiny:predict1"),
    "tiny:predict1-t2w": partial(build, "tiny:predict1-t2w"),
    "tiny:transfer2.5": partial(build, "tiny:transfer2.5"),
    "tiny:qwen2.5-vl": _qwen("tiny:qwen2.5-vl"),
    "tiny:qwen3-vl": _qwen("tiny:qwen3-vl"),
}
