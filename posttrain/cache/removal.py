"""Removing from the cache: what was used longest ago first, and never what a running process uses."""

import os
import secrets
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from posttrain.cache.account import LIMIT_VARIABLE, Account, Entry, free_bytes, size_text, survey
from posttrain.errors import EnvironmentFault

# What goes by itself beyond the limit. The other kinds are small notes on files (scans, verdicts of the gate), which
# cost more to make than to keep.
LARGE_KINDS = ("demo", "encodings", "media", "tiny")


@dataclass
class Removed:
    """What was removed, and what stayed although it should have gone, because it is in use."""

    entries: list[Entry] = field(default_factory=list)
    in_use: list[Entry] = field(default_factory=list)
    abandoned_bytes: int = 0
    num_abandoned: int = 0

    @property
    def num_bytes(self) -> int:
        """The size of all that was removed."""
        return sum(entry.num_bytes for entry in self.entries) + self.abandoned_bytes


def trim() -> Removed:
    """Brings the cache below its limit.

    Raises:
        EnvironmentFault: what running processes use is larger than the limit.
    """
    account = survey()
    removed = _down_to(account, account.limit)
    if account.num_bytes > account.limit:
        raise EnvironmentFault(
            f"{account.root}: running sweeps use {size_text(account.num_bytes)} of the cache, and its limit is "
            f"{size_text(account.limit)}; raise {LIMIT_VARIABLE}, or wait until one of them has ended "
            f"({_holders(account)}); running the same command again resumes"
        )
    return removed


def make_room(own_bytes: int, new_bytes: int) -> Removed:
    """Makes room for `new_bytes` that a sweep is about to write beside the `own_bytes` that it finds.

    Raises:
        EnvironmentFault: there is no room for them: beyond the limit, beside what others use, or on the disk.
    """
    account = survey()
    needed = own_bytes + new_bytes
    if needed > account.limit:
        raise EnvironmentFault(
            f"{account.root}: this sweep needs {size_text(needed)} of encodings ({size_text(own_bytes)} are there), "
            f"and the limit of the cache is {size_text(account.limit)}; set {LIMIT_VARIABLE} to at least "
            f"{size_text(needed)}, point POSTTRAIN_CACHE at a larger disk, or take fewer or smaller samples"
        )
    removed = _down_to(account, account.limit - new_bytes)
    if account.num_bytes + new_bytes > account.limit:
        raise EnvironmentFault(
            f"{account.root}: this sweep needs another {size_text(new_bytes)}; the limit of the cache is "
            f"{size_text(account.limit)}, of which {size_text(account.num_bytes)} are in use ({_holders(account)}); "
            f"raise {LIMIT_VARIABLE}, or wait until another sweep has ended"
        )
    if new_bytes > free_bytes():
        raise EnvironmentFault(
            f"{account.root}: this sweep needs another {size_text(new_bytes)} of encodings, and the disk has "
            f"{size_text(free_bytes())} free; free some space, or point POSTTRAIN_CACHE at another disk"
        )
    return removed


def prune(num_bytes: int | None = None, *, older_s: float | None = None) -> Removed:
    """Removes what is asked for: abandoned files, what was used more than `older_s` ago, and all above a size.

    Args:
        num_bytes: the size that is left; None is the limit. What is in use stays.
        older_s: with it nothing is removed for its size where `num_bytes` is None.
    """
    account = survey()
    removed = Removed()
    if older_s is not None:
        old = [entry for entry in account.entries if account.at - entry.used > older_s]
        _remove_all(account, old, removed)
    if num_bytes is not None or older_s is None:
        _down_to(account, account.limit if num_bytes is None else num_bytes, removed)
    _remove_abandoned(account, removed)
    return removed


def _down_to(account: Account, num_bytes: int, removed: Removed | None = None) -> Removed:
    """Removes entries until `num_bytes` are left, or nothing more may go."""
    removed = removed or Removed()
    excess = account.num_bytes - num_bytes
    if excess > 0:
        _remove_abandoned(account, removed)
        chosen = []
        for entry in sorted(account.entries, key=lambda entry: entry.used):
            if excess <= 0:
                break
            if entry.kind in LARGE_KINDS:
                chosen.append(entry)
                excess -= 0 if account.in_use(entry) else entry.num_bytes
        _remove_all(account, chosen, removed)
    return removed


def _remove_all(account: Account, entries: Iterable[Entry], removed: Removed) -> None:
    gone = set()
    for entry in entries:
        if account.in_use(entry):
            removed.in_use.append(entry)
        elif _remove(entry):
            removed.entries.append(entry)
            gone.add(entry.path)
    account.entries = [entry for entry in account.entries if entry.path not in gone]


def _remove(entry: Entry) -> bool:
    """Whether the entry is gone now; one that was touched since it was looked at stays."""
    try:
        if entry.path.lstat().st_mtime != entry.used:
            return False
        if entry.path.is_dir() and not entry.path.is_symlink():
            aside = entry.path.with_name(f".{entry.path.name}.{secrets.token_hex(6)}.part")
            os.rename(entry.path, aside)  # noqa: PTH104 - whole or absent, like everything here
            shutil.rmtree(aside, ignore_errors=True)
        else:
            entry.path.unlink()
    except FileNotFoundError:
        pass  # another process was faster
    except OSError as error:
        raise EnvironmentFault(
            f"{entry.path}: cannot be removed ({error.strerror}); change its permissions, or delete it by hand"
        ) from error
    return True


def _remove_abandoned(account: Account, removed: Removed) -> None:
    for left in account.abandoned:
        if left.path.is_dir() and not left.path.is_symlink():
            shutil.rmtree(left.path, ignore_errors=True)
        else:
            with suppress(OSError):
                left.path.unlink()
        if not _exists(left.path):
            removed.num_abandoned += 1
            removed.abandoned_bytes += left.num_bytes
    account.abandoned = [left for left in account.abandoned if _exists(left.path)]


def _exists(path: Path) -> bool:
    return os.path.lexists(path)


def _holders(account: Account) -> str:
    return ", ".join(lease.holder for lease in account.leases) or "no process"
