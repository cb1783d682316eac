"""The index of a tar: where each member lies, told by the headers alone, so that a clip is read by its byte range.

An index is built once for a path, size and time stamp, and kept in the cache folder. Small texts (captions, labels)
come with it: they lie beside the headers that are read anyway. Nothing is ever unpacked.
"""

import hashlib
import json
import tarfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import Any, BinaryIO, cast

from posttrain import cache
from posttrain.data import files
from posttrain.paths import cache_dir, write_json_atomic

# Raise it when an index could come out differently: old ones are then built again.
_VERSION = 1
_TEXTS = (".json", ".txt", ".cls")
_MAX_TEXT_BYTES = 1 << 16
# A header that asks for more than this (a long name, a pax record) is a damaged one.
_MAX_HEADER_BYTES = 1 << 20


@dataclass(frozen=True)
class Member:
    """A file in a tar: where its bytes lie, and the bytes themselves if it is a small text."""

    offset: int
    size: int
    text: bytes | None = None


@dataclass
class TarIndex:
    """What a tar holds.

    Attributes:
        members: the files, in their order, by a name without `.` and `..`.
        unfit: (name, reason) of what cannot be used.
        skipped: what is not read on purpose, by kind.
    """

    members: dict[str, Member] = field(default_factory=dict)
    unfit: list[tuple[str, str]] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


_memory: dict[Path, tuple[list[Any], TarIndex]] = {}
_lock = Lock()


def key_of(name: str) -> tuple[str, str]:
    """The key of a member and its ending: they part at the first dot of the file's name, as WebDataset has it."""
    folder, slash, base = name.rpartition("/")
    stem, _, ending = base.partition(".")
    return folder + slash + stem, ending


def index_of(tar: Path) -> TarIndex:
    """The index of `tar`, from memory, from the cache folder or built.

    Raises:
        OSError: it cannot be read, or is no tar.
        EnvironmentFault: the cache cannot be written.
    """
    stamp = files.stamp(tar)
    if stamp is None:
        raise FileNotFoundError(2, "No such file or directory", str(tar))
    with _lock:
        known = _memory.get(tar)
    if known is not None and known[0] == stamp:
        return known[1]
    cached = cache_dir() / "shards" / f"{hashlib.sha256(files.identity(tar).encode()).hexdigest()[:40]}.json"
    index = _load(cached, stamp)
    if index is not None:
        cache.touch(cached)
    else:
        with files.open_file(tar) as file:
            index = build(file, stamp[0])
        write_json_atomic(cached, _to_json(index, stamp))
    with _lock:
        _memory[tar] = (stamp, index)
    return index


def build(file: BinaryIO, size: int) -> TarIndex:
    """Reads the headers of an open tar of `size` bytes.

    Raises:
        OSError: its first header is none.
    """
    index = TarIndex()
    bounded = _Bounded(file, size)
    try:
        tar = tarfile.open(fileobj=cast("BinaryIO", bounded), mode="r:")  # noqa: SIM115 - `file` is the caller's
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise OSError(0, f"no tar: {error}") from error
    last = ""
    try:
        while (info := tar.next()) is not None:
            tar.members = []  # type: ignore[attr-defined]  # it keeps every header it has seen
            last = info.name
            _add(info, index, bounded)
    except (tarfile.TarError, ValueError, OverflowError):
        pass  # what it ends in is told below
    _tell_end(tar.offset, last, index, bounded)
    return index


def _add(info: tarfile.TarInfo, index: TarIndex, file: "_Bounded") -> None:
    name = PurePosixPath(info.name).as_posix()
    if info.isdir():
        return
    if not info.isreg() or info.issparse():
        index.skipped["link or special file in a shard"] += 1
    elif fault := _unsafe(info.name):
        index.unfit.append((info.name.encode("utf-8", "backslashreplace").decode(), fault))
    elif PurePosixPath(name).name.startswith("."):
        index.skipped["hidden file in a shard"] += 1
    elif info.offset_data + info.size > file.size or info.size < 0:
        index.unfit.append((name, f"truncated shard: it ends at byte {file.size}, inside this member"))
    elif name in index.members:
        index.unfit.append((name, "same name: a member of this name is read already"))
    else:
        text = None
        if name.lower().endswith(_TEXTS) and info.size <= _MAX_TEXT_BYTES:
            file.seek(info.offset_data)
            text = file.read(info.size)
        index.members[name] = Member(info.offset_data, info.size, text)


def _unsafe(name: str) -> str | None:
    if name.startswith("/") or ".." in name.split("/"):
        return "unsafe name: it leaves the shard"
    if "\0" in name or PurePosixPath(name).as_posix() == ".":
        return "unsafe name: it is none"
    try:
        name.encode()
    except UnicodeEncodeError:
        return "name is not UTF-8"
    return None


def _tell_end(end: int, last: str, index: TarIndex, file: "_Bounded") -> None:
    """Counts what follows the last member that could be read: nothing but zeros in a whole tar."""
    if index.unfit and index.unfit[-1][1].startswith("truncated shard"):
        return
    if end >= file.size:
        index.skipped["shard without an end mark: it may have been cut between two members"] += 1
        return
    file.seek(end)
    header = file.read(min(tarfile.BLOCKSIZE, file.size - end))
    if header.strip(b"\0"):
        index.unfit.append((last, f"truncated shard: no header at byte {end}, after this member"))
        return
    rest = file.read(min(tarfile.RECORDSIZE, file.size - file.tell()))
    if rest.strip(b"\0") or file.size - file.tell() > tarfile.RECORDSIZE:
        index.skipped["bytes after the end mark of a shard"] += 1


class _Bounded:
    """A file that refuses the places and sizes that only a damaged header asks for."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self.size = size

    def read(self, count: int = -1) -> bytes:
        if not 0 <= count <= _MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {count} bytes")
        return self._file.read(count)

    def seek(self, position: int) -> int:
        if not 0 <= position <= self.size:
            raise tarfile.ReadError("unexpected end of data")
        return self._file.seek(position)

    def tell(self) -> int:
        return self._file.tell()


def _to_json(index: TarIndex, stamp: list[Any]) -> dict[str, Any]:
    members = [
        [name, member.offset, member.size, None if member.text is None else member.text.decode("latin-1")]
        for name, member in index.members.items()
    ]
    return {"version": _VERSION, "stamp": stamp, "members": members, "unfit": index.unfit, "skipped": index.skipped}


def _load(cached: Path, stamp: list[Any]) -> TarIndex | None:
    try:
        found = json.loads(cached.read_bytes())
        if found["version"] != _VERSION or found["stamp"] != stamp:
            return None
        members = {
            name: Member(offset, size, None if text is None else text.encode("latin-1"))
            for name, offset, size, text in found["members"]
        }
        return TarIndex(members, [(name, reason) for name, reason in found["unfit"]], Counter(found["skipped"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # a cache: what cannot be read is made again
