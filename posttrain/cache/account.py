"""What lies in the cache: entries by kind with their size and last use, abandoned files, and the limit.

The kind of an entry is its folder below the cache. Where the folder holds whole folders (a checkpoint, a demo set) each
of them is one entry, else each file is.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from posttrain.cache.leases import FOLDER as LEASES
from posttrain.cache.leases import Lease, living, now
from posttrain.errors import ConfigError, disk_fault
from posttrain.paths import cache_dir

LIMIT_VARIABLE = "POSTTRAIN_CACHE_LIMIT"
# Where no limit is set: this share of what the disk has for the cache, its free space and what the cache holds already.
DEFAULT_SHARE = 0.5
# A file being written is aside for seconds, a checkpoint being built for a minute.
ABANDONED_AFTER_S = 3600.0
_WHOLE_FOLDERS = ("demo", "joined", "tiny")
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}


@dataclass(frozen=True)
class Entry:
    """One thing that is there or not: `used` is its last use, in seconds on the clock of the file system."""

    kind: str
    path: Path
    num_bytes: int
    used: float


@dataclass(frozen=True)
class Abandoned:
    """What a killed process left half written."""

    path: Path
    num_bytes: int


@dataclass
class Account:
    """The cache at one moment.

    Attributes:
        at: that moment, on the clock of the file system.
        limit: bytes that all entries together may have.
    """

    root: Path
    at: float
    limit: int
    leases: list[Lease]
    entries: list[Entry] = field(default_factory=list)
    abandoned: list[Abandoned] = field(default_factory=list)

    @property
    def num_bytes(self) -> int:
        """The size of all entries."""
        return sum(entry.num_bytes for entry in self.entries)

    def in_use(self, entry: Entry) -> bool:
        """Whether a running process may still read it."""
        return bool(self.leases) and entry.used >= self.leases[0].since


def survey() -> Account:
    """Looks through the whole cache.

    Raises:
        ConfigError: POSTTRAIN_CACHE_LIMIT is no size.
        EnvironmentFault: the cache cannot be read or written.
    """
    root = cache_dir()
    try:
        account = Account(root, now(root), 0, living(root))
        for folder in sorted(path for path in root.iterdir() if path.is_dir() and path.name != LEASES):
            _look_into(folder, folder.name, account)
    except OSError as error:
        raise disk_fault(error, root) from error
    account.limit = cache_limit(account.num_bytes)
    return account


def cache_limit(held_bytes: int) -> int:
    """Bytes that the cache may have: $POSTTRAIN_CACHE_LIMIT, or its share of the disk; it holds `held_bytes` now.

    Raises:
        ConfigError: the variable is no size.
    """
    text = os.environ.get(LIMIT_VARIABLE, "")
    if text:
        return parse_size(text, LIMIT_VARIABLE)
    return int((free_bytes() + held_bytes) * DEFAULT_SHARE)


def free_bytes(folder: Path | None = None) -> int:
    """Free space of the disk that holds `folder` (the cache, if None), or will."""
    place = folder or cache_dir()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def parse_size(text: str, where: str) -> int:
    """Bytes of `200GB`, `1.5 TiB`, `0`; `where` names what was written, for the error.

    Raises:
        ConfigError: it is no size.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]I?|)B?\s*", text, re.IGNORECASE)
    if match is None:
        raise ConfigError.single(where, f"{text!r} is no size", hint="write a number with a unit, for example 200GB")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def size_text(num_bytes: float) -> str:
    """`1.2 GB`: three digits and a decimal unit."""
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 999.5:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.4g} TB"


def _look_into(folder: Path, kind: str, account: Account) -> None:
    """What is removed while we look is passed over."""
    with suppress(FileNotFoundError), os.scandir(folder) as found:
        for item in found:
            with suppress(FileNotFoundError):
                status = item.stat(follow_symlinks=False)
                is_folder = item.is_dir(follow_symlinks=False)
                if item.name.startswith("."):
                    if account.at - status.st_mtime > ABANDONED_AFTER_S:
                        account.abandoned.append(Abandoned(Path(item.path), _size(Path(item.path))))
                elif is_folder and kind not in _WHOLE_FOLDERS:
                    _look_into(Path(item.path), kind, account)
                elif not item.name.endswith(".lock"):
                    size = _size(Path(item.path)) if is_folder else status.st_size
                    account.entries.append(Entry(kind, Path(item.path), size, status.st_mtime))


def _size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    return sum(_sizes(path))


def _sizes(path: Path) -> Iterator[int]:
    if path.is_dir() and not path.is_symlink():
        for child in path.iterdir():
            yield from _sizes(child)
    else:
        with suppress(FileNotFoundError):
            yield path.lstat().st_size
