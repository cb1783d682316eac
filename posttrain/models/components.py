"""The parts of a diffusers pipeline that no training changed, put beside those that it did."""

import json
import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from posttrain.errors import EnvironmentFault, environment_faults
from posttrain.paths import write_json_atomic

INDEX = "model_index.json"
# As for checkpoints from the hub: configuration and safetensors, never a pickle.
_SUFFIXES = (".json", ".txt", ".jinja", ".model", ".safetensors")
_LEGAL = ("LICENSE*", "NOTICE*")


def complete_pipeline(base: Path, out: Path, *, link: bool) -> int:
    """Makes a whole pipeline of the networks in `out`: every other part of the checkpoint folder `base` is added.

    Args:
        link: large files become hard links where `base` and `out` lie on one disk: they take no space, and whoever
            writes into one of them changes both.

    Returns:
        the number of bytes copied.

    Raises:
        EnvironmentFault: the disk has no room for the copies.
    """
    files = dict(_files(base, {path.name for path in out.iterdir()}))
    if not link:
        _check_room(sum(path.stat().st_size for path in files.values()), out)
    with environment_faults(out):
        copied = sum(_put(path, out / name, link=link) for name, path in files.items())
        index = json.loads((base / INDEX).read_text(encoding="utf-8"))
        index.pop("_name_or_path", None)  # where the base lay on this machine
        write_json_atomic(out / INDEX, index)
    return copied


def _files(base: Path, there: Collection[str]) -> Iterator[tuple[str, Path]]:
    """What is missing in the export: the name below it, and the file, of which a hub snapshot holds only links."""
    index = json.loads((base / INDEX).read_text(encoding="utf-8"))
    for part in sorted(base.iterdir()):
        if part.is_dir() and part.name in index and part.name not in there:
            for path in sorted(part.rglob("*")):
                if path.is_file() and path.suffix in _SUFFIXES:
                    yield str(path.relative_to(base)), path.resolve()
    for pattern in _LEGAL:
        for path in base.glob(pattern):
            yield path.name, path.resolve()


def _put(path: Path, target: Path, *, link: bool) -> int:
    """Links or copies one file; returns the bytes that this took."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if link:
        try:
            os.link(path, target)
        except OSError:  # another disk, or one without hard links
            pass
        else:
            return 0
    shutil.copyfile(path, target)
    return target.stat().st_size


def _check_room(num_bytes: int, out: Path) -> None:
    free = shutil.disk_usage(out).free
    if num_bytes > free:
        raise EnvironmentFault(
            f"{out.parent}: the base's other parts take {num_bytes / 1e9:.1f} GB and {free / 1e9:.1f} GB are free; "
            "give --link to share them with the base on the same disk, or --components trained to leave them out"
        )
