"""The media of samples, wherever they lie: plain files, members of a tar, cells of a Parquet file, here or remote.

`Sample.video` is a path in all cases: `<folder>/a.mp4`, `<shard.tar>/<member.mp4>` or
`<shard.parquet>/<row>:<column>.mp4`. Whoever reads media goes through here; nothing is unpacked, and of a shard only
the bytes of the medium are read.
"""

import io
import os
from pathlib import Path
from typing import Any, BinaryIO

from posttrain.data import files, remote
from posttrain.data.cells import read_cell
from posttrain.data.tars import Member, index_of

TAR, PARQUET = ".tar", ".parquet"


def shard_of(path: Path) -> tuple[Path, str] | None:
    """The shard that a medium lies in and its name there; None for a plain file."""
    text = str(path).lower()
    if TAR not in text and PARQUET not in text:  # nearly all media are plain files
        return None
    for parent in reversed(path.parents):
        if parent.suffix.lower() in (TAR, PARQUET) and not files.is_dir(parent):
            return parent, path.relative_to(parent).as_posix()
    return None


def open_media(path: Path) -> str | BinaryIO:
    """What PyAV and Pillow open: the name of a plain file on this machine's disk, else the bytes; close those.

    Raises:
        OSError: it is not there or cannot be read.
        EnvironmentFault: its host cannot be reached.
    """
    # FFmpeg takes a relative "a:b.mp4" for a protocol
    plain = shard_of(path) is None and not remote.is_remote(path)
    return os.path.abspath(path) if plain else open_bytes(path)  # noqa: PTH100 - links stay as they are


def open_bytes(path: Path) -> BinaryIO:
    """The medium's bytes as a file; it raises what `open_media` does."""
    found = shard_of(path)
    if found is None:
        return files.open_range(path, 0, files.size_of(path)) if remote.is_remote(path) else files.open_file(path)
    shard, name = found
    if shard.suffix.lower() == PARQUET:
        return io.BytesIO(read_cell(shard, name))
    member = _member(shard, name)
    return io.BytesIO(member.text) if member.text is not None else files.open_range(shard, member.offset, member.size)


def read_bytes(path: Path) -> bytes:
    """The whole medium, or a text beside it."""
    with open_bytes(path) as file:
        return file.read()


def size_of(path: Path) -> int:
    """Bytes of the medium; it raises what `open_media` does."""
    found = shard_of(path)
    if found is None:
        return files.size_of(path)
    shard, name = found
    return len(read_cell(shard, name)) if shard.suffix.lower() == PARQUET else _member(shard, name).size


def stamp(path: Path) -> list[Any] | None:
    """What changes when the medium may have: for caches; None if it is not there."""
    found = shard_of(path)
    return files.stamp(path if found is None else found[0])


def is_medium(path: Path) -> bool:
    """Whether there is such a file, member or cell."""
    found = shard_of(path)
    if found is None:
        return files.is_file(path)
    try:
        shard, name = found
        return shard.suffix.lower() == PARQUET or name in index_of(shard).members
    except OSError:
        return False


def place(path: Path) -> str:
    """The path or URL, by a name that does not depend on the working directory."""
    return files.identity(path)


def _member(shard: Path, name: str) -> Member:
    try:
        return index_of(shard).members[name]
    except KeyError:
        raise FileNotFoundError(2, "No such member", f"{shard}/{name}") from None
