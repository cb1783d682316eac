"""Files behind a URL (hf://, s3://, https://, ...), through fsspec: only the byte ranges that are asked for.

A URL is a `Path` here like every other place of a clip; pathlib folds its `//` into `/`, and `url` unfolds it. What a
process was told about a remote file (its size, a folder's entries) is believed while the process lives.

A file that is not there is a FileNotFoundError, as on a disk. A host that cannot be reached is an EnvironmentFault, so
that a network that is down never looks like clips that cannot be read.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, cast

from posttrain.data.held import Held
from posttrain.errors import DataError, EnvironmentFault, PosttrainError

_PROTOCOL = re.compile(r"[a-z][a-z0-9+.-]+:")
# Headers of a tar with the small members beside them; a request costs more than these bytes.
HEADER_BLOCK_BYTES = 1 << 16
# Clips too large to be held are read in blocks of this size.
CLIP_BLOCK_BYTES = 8 << 20
# Whole files and members up to this size are fetched in one request: a clip is probed, decoded and hashed in turn.
WHOLE_BYTES = 128 << 20
_held: Held[bytes] = Held(256 << 20)
# What tells one version of a file from another, by the file systems that have it.
_MARKS = ("mark", "xet_hash", "blob_id", "ETag", "etag", "checksum", "md5Hash", "LastModified", "mtime", "created")


@dataclass(frozen=True)
class RemoteInfo:
    """What is known of a remote file without reading it."""

    size: int
    is_dir: bool
    mark: str


def is_url(text: str) -> bool:
    """Whether a source's path names a place that is not on a disk."""
    return "://" in text and _PROTOCOL.match(text) is not None and not text.startswith("file://")


def is_remote(path: Path) -> bool:
    """Whether `path` was made from a URL."""
    return bool(path.parts) and _PROTOCOL.fullmatch(path.parts[0]) is not None


def url(path: Path) -> str:
    """The URL that `path` was made from."""
    protocol, _, rest = str(path).partition(":/")
    return f"{protocol}://{rest}"


@lru_cache(maxsize=1 << 18)
def info(path: Path) -> RemoteInfo:
    """Size and kind.

    Raises:
        FileNotFoundError: it is not there.
        DataError: it may not be read, or its protocol is unknown.
        EnvironmentFault: the host cannot be reached, or a package is missing; so do all functions below.
    """
    with _reaching(path) as (system, name):
        return _info(system.info(name))


def _info(found: dict[str, Any]) -> RemoteInfo:
    mark = next((str(found[key]) for key in _MARKS if found.get(key)), "")
    return RemoteInfo(int(found.get("size") or 0), found["type"] == "directory", mark)


@lru_cache(maxsize=1 << 12)
def entries(folder: Path) -> tuple[Path, ...]:
    """What lies in a folder, sorted by name."""
    with _reaching(folder) as (system, name):
        listed = system.ls(name, detail=True)
    names = {entry["name"].rstrip("/").rpartition("/")[2] for entry in listed if entry["name"].rstrip("/") != name}
    return tuple(sorted(folder / entry for entry in names if entry))


def matches(pattern: Path) -> list[Path]:
    """The files that fit a pattern with `*`, sorted by name."""
    with _reaching(pattern) as (system, name):
        found = system.glob(name)
    protocol = pattern.parts[0]
    return sorted(Path(f"{protocol}/{entry}") for entry in found)


def open_remote(path: Path, block_bytes: int = HEADER_BLOCK_BYTES) -> BinaryIO:
    """The file, which fetches a block wherever it is read."""
    with _reaching(path) as (system, name):
        return cast("BinaryIO", system.open(name, "rb", block_size=block_bytes, cache_type="readahead"))


def read_range(path: Path, start: int, size: int) -> bytes:
    """`size` bytes from `start` on, in one request; the last ones that were read are held in memory."""

    def fetch() -> tuple[bytes, int]:
        with _reaching(path) as (system, name), system.open(name, "rb", cache_type="none") as file:
            file.seek(start)
            data: bytes = file.read(size)
        return data, len(data)

    return _held.get((path, start, size), fetch) if size else b""


@contextmanager
def _reaching(path: Path) -> Iterator[tuple[Any, str]]:
    """The file system of `path` and its name there; every fault in the block becomes one message."""
    place = url(path)
    try:
        yield _system(place)
    except (PosttrainError, FileNotFoundError):
        raise
    except ImportError as error:
        raise EnvironmentFault(
            f"{place}: a package is missing ({error}); install it, or give a local folder"
        ) from error
    except PermissionError as error:
        raise DataError(_refused(place)) from error
    except Exception as error:  # every file system has its own errors for a network that is down
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in (401, 403):
            raise DataError(_refused(place)) from error
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise EnvironmentFault(
            f"{place} cannot be read ({type(error).__name__}: {told}); look at the network and run it again, or "
            "download the data and give the folder"
        ) from error


def _system(place: str) -> tuple[Any, str]:
    protocol = place.partition("://")[0]
    if protocol in ("http", "https"):
        from posttrain.data.http_ranges import HttpRanges

        return HttpRanges(), place
    import fsspec

    if protocol not in fsspec.available_protocols():
        known = "hf://, https://, s3://, gs://"
        raise DataError(f"{place}: nothing reads {protocol}://; use a folder or one of {known}")
    system, name = fsspec.core.url_to_fs(place)
    return system, name


def _refused(place: str) -> str:
    return (
        f"{place}: you may not read it; log in (`hf auth login`, or HF_TOKEN) or give the credentials of that service"
    )
