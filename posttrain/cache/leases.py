"""Which running processes use the cache: one small file each, deleted when its process has ended.

On the machine that looks, the system tells whether the process still runs. Elsewhere, or in another container, a lease
ends when its process no longer touches it.
"""

import atexit
import contextlib
import json
import math
import os
import platform
import secrets
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posttrain.paths import cache_dir

FOLDER = "leases"
TOUCHED_EVERY_S = 300.0
# A process that is alive misses several touches only where the machine is frozen; what it loses it can make again.
EXPIRES_AFTER_S = 1800.0

MARKED_EVERY_S = 3600.0

_held: dict[Path, Path] = {}  # cache folder -> this process's lease there
_since: dict[Path, float] = {}  # cache folder -> when that lease began
_held_by = os.getpid()
_lock = threading.Lock()


@dataclass(frozen=True)
class Lease:
    """A running process's claim on all that was used since it began.

    Attributes:
        holder: `<node>:<process id>`.
        since: when the process began to use the cache, in seconds on the clock of the file system.
        path: its file.
    """

    holder: str
    since: float
    path: Path


def touch(path: Path) -> bool:
    """Marks an entry as used now, by a process that goes on using it; False where it is not there.

    One that this process has claimed already is not marked again within the hour: setting times waits for the disk.
    """
    hold()
    try:
        marked = path.stat().st_mtime
        if marked < _since.get(cache_dir(), math.inf) or abs(time.time() - marked) > MARKED_EVERY_S:
            os.utime(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError:  # somebody else's cache, which we may only read
        return path.exists()
    return True


def hold() -> None:
    """Takes a lease on the cache for the rest of this process's life; at once where it has one."""
    global _held_by  # noqa: PLW0603 - a fork must not believe that its parent's lease is its own
    root = cache_dir()
    with _lock:
        if _held_by != os.getpid():
            _held.clear()
            _since.clear()
            _held_by = os.getpid()
        if root not in _held:
            _held[root] = root / FOLDER / f"{secrets.token_hex(8)}.json"
            with contextlib.suppress(OSError):  # a cache that we may only read takes no leases
                _since[root] = _write(_held[root])
            if len(_held) == 1:
                threading.Thread(target=_keep_touching, name="cache leases", daemon=True).start()
                atexit.register(_release)


def now(root: Path) -> float:
    """Seconds on the clock of the file system that holds the cache.

    Raises:
        OSError: the cache cannot be written.
    """
    clock = root / FOLDER / "clock"
    clock.parent.mkdir(parents=True, exist_ok=True)
    clock.touch()
    return clock.stat().st_mtime


def living(root: Path) -> list[Lease]:
    """The leases of running processes, oldest first; files of all others are deleted."""
    leases, at = [], now(root)
    for path in (root / FOLDER).glob("*.json"):
        with contextlib.suppress(FileNotFoundError):  # its process ended meanwhile
            touched = path.stat().st_mtime
            document = _read(path)
            if at - touched > EXPIRES_AFTER_S or _has_ended(document.get("process")):
                path.unlink()
            else:
                holder = str(document.get("holder", "a process that has just begun"))
                leases.append(Lease(holder, float(document.get("since", touched)), path))
    return sorted(leases, key=lambda lease: lease.since)


def _read(path: Path) -> dict[str, Any]:
    """A lease's content; {} while it is being written."""
    try:
        document = json.loads(path.read_bytes())
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _process() -> dict[str, Any] | None:
    """This process as others on this machine can look it up; None where the system does not tell."""
    import psutil

    namespace = _namespace()
    if namespace is None:
        return None
    return {"namespace": namespace, "pid": os.getpid(), "started": psutil.Process().create_time()}


def _namespace() -> str | None:
    """Names the boot of this machine and the container, within which a process id means one process."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}:{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return None


def _has_ended(process: Any) -> bool:
    """Whether a process that can be looked up here is gone: it was killed, or it would have deleted its lease."""
    import psutil

    if not isinstance(process, dict) or process.get("namespace") != _namespace():
        return False
    try:
        found = psutil.Process(process["pid"])
        # an id is given again; times of one process differ by rounding alone
        is_same = abs(found.create_time() - process["started"]) < 1.0
        return not is_same or found.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False


def _write(path: Path) -> float:
    """Begins a lease; returns when, on the clock of the file system."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    since = path.stat().st_mtime
    document = {"holder": f"{platform.node()}:{os.getpid()}", "since": since, "process": _process()}
    path.write_text(json.dumps(document), encoding="utf-8")
    return since


def _keep_touching() -> None:
    stop = threading.Event()
    while not stop.wait(TOUCHED_EVERY_S):
        for path in list(_held.values()):
            _renew(path)


def _renew(path: Path) -> None:
    with contextlib.suppress(OSError):  # a network disk that is away comes back
        try:
            os.utime(path)
        except FileNotFoundError:  # somebody emptied the cache: what is used from now on is ours again
            _since[path.parent.parent] = _write(path)


def _release() -> None:
    if _held_by == os.getpid():
        for path in _held.values():
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
