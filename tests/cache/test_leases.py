"""Leases: what a running process uses is known to be in use, and a killed process protects nothing for long."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from posttrain import cache
from posttrain.cache import leases


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POSTTRAIN_CACHE", str(tmp_path))
    return tmp_path


def entry(root: Path, name: str = "entry") -> Path:
    path = root / "encodings" / "latents" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * 100)
    return path


def age(path: Path, seconds: float) -> None:
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


def test_touching_marks_as_used_and_takes_one_lease(root: Path) -> None:
    path = entry(root)
    age(path, 1000)
    assert not cache.touch(root / "nothing")
    assert cache.touch(path)
    assert cache.touch(path)
    (lease,) = cache.survey().leases
    assert lease.holder.endswith(f":{os.getpid()}")
    (found,) = cache.survey().entries
    assert found.used >= lease.since
    assert cache.survey().in_use(found)


def test_what_is_claimed_is_not_marked_again_at_once(root: Path) -> None:
    path = entry(root)
    cache.touch(path)
    age(path, -0.5)  # of this process's own time
    marked = path.stat().st_mtime_ns
    assert cache.touch(path)
    assert path.stat().st_mtime_ns == marked
    age(path, leases.MARKED_EVERY_S)
    assert cache.touch(path)
    assert path.stat().st_mtime_ns >= marked - 10**9


def test_what_was_used_before_a_process_began_is_not_in_use(root: Path) -> None:
    path = entry(root)
    age(path, 1000)
    cache.hold()
    account = cache.survey()
    assert not account.in_use(account.entries[0])


def test_a_lease_that_nobody_touches_expires(root: Path) -> None:
    cache.hold()
    (lease,) = leases.living(root)
    age(lease.path, leases.EXPIRES_AFTER_S - 10)
    assert leases.living(root) == [lease]
    age(lease.path, 20)
    assert leases.living(root) == []
    assert not lease.path.exists()


def test_a_lease_is_renewed_also_where_the_cache_was_emptied(root: Path) -> None:
    cache.hold()
    (lease,) = leases.living(root)
    age(lease.path, 1000)
    leases._renew(lease.path)
    assert lease.path.stat().st_mtime > lease.since - 1
    shutil.rmtree(root / "leases")
    leases._renew(lease.path)
    (again,) = leases.living(root)
    assert (again.holder, again.path) == (lease.holder, lease.path)
    assert again.since >= lease.since


def _use(path: Path, began: Event) -> None:
    cache.touch(path)
    began.set()
    time.sleep(60)


def test_the_use_of_another_process_counts_while_it_lives(root: Path) -> None:
    path = entry(root)
    context = multiprocessing.get_context("fork")
    began = context.Event()
    user = context.Process(target=_use, args=(path, began))
    user.start()
    assert began.wait(20)
    (lease,) = cache.survey().leases
    assert lease.holder.endswith(f":{user.pid}")
    assert cache.prune(0).in_use == cache.survey().entries
    assert user.pid is not None
    os.kill(user.pid, signal.SIGKILL)
    os.waitid(os.P_PID, user.pid, os.WEXITED | os.WNOWAIT)  # dead, and its parent has not asked for it yet
    assert cache.survey().leases == []
    assert not lease.path.exists()
    user.join()
    assert [removed.path for removed in cache.prune(0).entries] == [path]


def other_process(root: Path, **changes: object) -> Path:
    """A lease of this very process, changed."""
    cache.hold()
    (lease,) = leases.living(root)
    document = json.loads(lease.path.read_text())
    document["process"] |= changes
    path = root / "leases" / "other.json"
    path.write_text(json.dumps(document))
    return path


def test_a_process_id_that_was_given_again_is_another_process(root: Path) -> None:
    path = other_process(root, started=1.0)
    assert path not in [lease.path for lease in leases.living(root)]
    assert not path.exists()


def test_a_process_that_cannot_be_looked_up_here_counts_until_its_lease_expires(root: Path) -> None:
    path = other_process(root, namespace="another machine", pid=2**30)
    assert path in [lease.path for lease in leases.living(root)]
    age(path, leases.EXPIRES_AFTER_S + 1)
    assert path not in [lease.path for lease in leases.living(root)]


def test_a_lease_that_is_being_written_counts_from_its_time_stamp(root: Path) -> None:
    path = entry(root)
    (root / "leases").mkdir()
    torn = root / "leases" / "0.json"
    torn.write_text("")
    os.utime(path)
    account = cache.survey()
    assert account.in_use(account.entries[0])


def test_a_cache_that_may_only_be_read_is_used_all_the_same(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    path = entry(root)
    monkeypatch.setattr(os, "utime", refuse)
    monkeypatch.setattr(Path, "touch", refuse)
    assert cache.touch(path)
    assert not cache.touch(root / "nothing")


def test_a_process_that_ends_in_order_gives_its_lease_back(root: Path) -> None:
    program = "from posttrain import cache; cache.hold(); print(len(cache.survey().leases))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
    assert leases.living(root) == []
