"""Plain files, on a disk or behind a URL, through one set of functions."""

import io
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO, cast

from posttrain.data import remote


def stamp(file: Path) -> list[Any] | None:
    """What changes when the file does: size, and time stamp or version; None if it is not there."""
    try:
        if remote.is_remote(file):
            known = remote.info(file)
            return [known.size, known.mark]
        status = file.stat()
    except (OSError, ValueError):
        return None
    return [status.st_size, status.st_mtime_ns]


def size_of(file: Path) -> int:
    """Bytes of the file."""
    return remote.info(file).size if remote.is_remote(file) else file.stat().st_size


def is_dir(path: Path) -> bool:
    """Whether it is a folder; False where nothing is."""
    if not remote.is_remote(path):
        return path.is_dir()
    try:
        return remote.info(path).is_dir
    except FileNotFoundError:
        return False


def is_file(path: Path) -> bool:
    """Whether it is a file; False where nothing is, or where the name is none."""
    try:
        return not remote.info(path).is_dir if remote.is_remote(path) else path.is_file()
    except (OSError, ValueError):
        return False


def may_list(folder: Path) -> bool:
    """Whether this user may look into a folder of a disk; of a remote one the listing tells."""
    return remote.is_remote(folder) or os.access(folder, os.R_OK | os.X_OK)


def entries(folder: Path) -> list[Path]:
    """What lies in a folder, sorted by name."""
    return (
        list(remote.entries(folder))
        if remote.is_remote(folder)
        else sorted(folder.iterdir(), key=lambda entry: entry.name)
    )


def open_file(file: Path) -> BinaryIO:
    """The file, open for reading anywhere in it."""
    if remote.is_remote(file):
        return remote.open_remote(file)
    if stat.S_ISFIFO(file.stat().st_mode):  # opening one waits for a writer
        raise OSError(0, "a pipe, no file")
    return file.open("rb")


def open_range(file: Path, start: int, size: int) -> BinaryIO:
    """`size` bytes of the file from `start` on, as a file of their own."""
    if not remote.is_remote(file):
        return cast("BinaryIO", io.BufferedReader(_Range(open_file(file), start, size)))
    if size <= remote.WHOLE_BYTES:
        return io.BytesIO(remote.read_range(file, start, size))
    return cast("BinaryIO", io.BufferedReader(_Range(remote.open_remote(file, remote.CLIP_BLOCK_BYTES), start, size)))


def identity(path: Path) -> str:
    """The place by a name that does not depend on the working directory."""
    return remote.url(path) if remote.is_remote(path) else str(path.resolve())


def shown(path: Path) -> str:
    """The path as messages show it, also where its name is not UTF-8."""
    text = remote.url(path) if remote.is_remote(path) else str(path)
    return os.fsencode(text).decode("utf-8", "backslashreplace")


class _Range(io.RawIOBase):
    """A part of a file as a file; closing it closes the file."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file, self._start, self._size, self._at = file, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), max(0, self._size - self._at))
        self._file.seek(self._start + self._at)
        data = self._file.read(wanted)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()
