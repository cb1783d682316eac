"""Verdicts on files, remembered between scans: one journal per source and way of reading it.

A journal is JSON lines, one per verdict, the last one of a file holds. Lines are appended while files are read, so a
scan that is killed loses a few seconds of work; a line that was torn by that is skipped. An entry is believed while the
file's stamp (size and time) is the same. When most lines have been overtaken the journal is written anew.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from posttrain.data import archives
from posttrain.errors import EnvironmentFault, environment_faults
from posttrain.paths import cache_dir, write_atomic

# Raise it when a verdict could come out differently: old ones are then forgotten.
_VERSION = 3
_WRITE_EVERY_S = 2.0


@dataclass(frozen=True)
class Measured:
    """What was measured of one window; `scores` are finite, one that does not apply is absent."""

    scores: dict[str, float]
    signature: str


@dataclass(frozen=True)
class Verdict:
    """What is in a file: `windows` are (start in seconds, reason why it cannot be used or None).

    Attributes:
        reason: why the whole file cannot be used; None if it can.
        notes: what is unusual and still used.
        facts: duration_s, frames, height and width (upright, in pixels) of the file.
        measured: of each window, None where it cannot be used; None where it was not asked for.
    """

    content_hash: str
    reason: str | None
    windows: tuple[tuple[float, str | None], ...]
    notes: tuple[str, ...]
    facts: Mapping[str, float] = field(default_factory=dict)
    measured: tuple[Measured | None, ...] | None = None

    def scores(self, window: int) -> dict[str, float]:
        """All that is known of a window: what the file is, and what was measured."""
        measured = self.measured[window] if self.measured else None
        return {**self.facts, **({} if measured is None else measured.scores)}

    def signature(self, window: int) -> str:
        """What near duplicates of a window are told by; empty where it was not measured."""
        measured = self.measured[window] if self.measured else None
        return "" if measured is None else measured.signature

    @property
    def is_measured(self) -> bool:
        """Whether nothing is left to measure."""
        return self.reason is not None or self.measured is not None


class VerdictCache:
    """The journal of one source; close it to keep what was put in.

    Args:
        root: the source.
        identity: with `root`, all that a verdict depends on besides the file, as JSON can hold it.
        depends_on: names what the verdict on one file depends on besides, such as another file.
    """

    def __init__(self, root: Path, identity: list[Any], depends_on: Callable[[Path], str]) -> None:
        name = json.dumps([_VERSION, archives.place(root), *identity])
        self._file = cache_dir() / "scans" / f"{hashlib.sha256(name.encode()).hexdigest()[:40]}.jsonl"
        self._prefix = os.path.join(root, "")  # noqa: PTH118 - string work, for the sake of 1,000,000 files
        self._depends_on = depends_on
        self._num_lines = 0
        self._entries: dict[str, dict[str, Any]] = {}
        for entry in self._read():
            self._entries[entry["file"]] = entry
            self._num_lines += 1
        self._pending: list[dict[str, Any]] = []
        self._written_s = time.monotonic()

    def get(self, file: Path) -> Verdict | None:
        """What was told of the file as it is now; None if nothing was."""
        entry = self._entries.get(self._key(file))
        if entry is None or entry["stamp"] != archives.stamp(file) or entry["depends_on"] != self._depends_on(file):
            return None
        return _from_entry(entry)

    def put(self, file: Path, verdict: Verdict) -> None:
        """Remembers a verdict; now and then what is new is written.

        Raises:
            EnvironmentFault: the cache cannot be written.
        """
        # a file that could not be read may be readable next time without a new time stamp (permissions, a network disk)
        if verdict.content_hash:
            key = self._key(file)
            known = {"file": key, "stamp": archives.stamp(file), "depends_on": self._depends_on(file)}
            self._entries[key] = {**known, **asdict(verdict)}
            self._pending.append(self._entries[key])
        if time.monotonic() - self._written_s > _WRITE_EVERY_S:
            self._write()

    def close(self) -> None:
        """Writes what is not written yet.

        Raises:
            EnvironmentFault: the cache cannot be written.
        """
        self._write()
        if self._num_lines > 2 * len(self._entries) + 100:
            write_atomic(self._file, b"".join(map(_line, self._entries.values())))

    def _write(self) -> None:
        self._written_s = time.monotonic()
        if not self._pending:
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EnvironmentFault(
                f"{self._file.parent} cannot be made: {error.strerror}; point POSTTRAIN_CACHE at a folder that can "
                "be written"
            ) from error
        # in one piece, so that another program at the same journal tears nothing; what a kill tore ends here
        lines = b"\n" + b"".join(map(_line, self._pending))
        with environment_faults(self._file), self._file.open("ab", buffering=0) as journal:
            journal.write(lines)
        self._num_lines += len(self._pending)
        self._pending.clear()

    def _read(self) -> Iterator[dict[str, Any]]:
        try:
            with self._file.open("rb") as lines:
                for line in lines:
                    entry = _entry(line)
                    if entry is not None:
                        yield entry
        except OSError:
            return  # a cache: what cannot be read is made again

    def _key(self, file: Path) -> str:
        # media of rows may lie outside their source's folder
        return str(file).removeprefix(self._prefix)


def _entry(line: bytes) -> dict[str, Any] | None:
    """The entry of a line; None for one that was torn."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def _line(entry: Mapping[str, Any]) -> bytes:
    return json.dumps(entry, separators=(",", ":")).encode() + b"\n"


def _from_entry(entry: Mapping[str, Any]) -> Verdict:
    measured = entry["measured"]
    return Verdict(
        content_hash=entry["content_hash"],
        reason=entry["reason"],
        windows=tuple((float(start_s), reason) for start_s, reason in entry["windows"]),
        notes=tuple(entry["notes"]),
        facts=entry["facts"],
        measured=None if measured is None else tuple(None if one is None else Measured(**one) for one in measured),
    )
