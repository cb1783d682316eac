"""Real processes on one cache: writers of the same and of different entries, kill -9, and pruning beside readers."""

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from posttrain import cache
from posttrain.models.encoding_files import EncodingFiles, EntryGone

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POSTTRAIN_CACHE", str(tmp_path))
    torch.set_num_threads(1)
    return tmp_path


def place(files: EncodingFiles, number: int) -> Path:
    return files.path("latents", str(number))


def value(number: int) -> dict[str, torch.Tensor]:
    """What the entry of a number holds, and no other."""
    return {"value": torch.full((64, 64), float(number))}


def write(seed: int, num_entries: int, seconds: float) -> None:
    """Writes entries for as long as it is let."""
    files, rng, ends = EncodingFiles(memory_bytes=0), random.Random(seed), time.monotonic() + seconds
    while time.monotonic() < ends:
        number = rng.randrange(num_entries)
        files.write(place(files, number), value(number))


def read(seed: int, num_entries: int, seconds: float) -> None:
    """Reads entries and makes those that are gone, as trials do; fails where one is torn or another's."""
    files, rng, ends = EncodingFiles(memory_bytes=0), random.Random(seed), time.monotonic() + seconds
    while time.monotonic() < ends:
        number = rng.randrange(num_entries)
        try:
            found = files.read(place(files, number), "value")["value"]
        except EntryGone:
            files.discard(place(files, number))
            files.write(place(files, number), value(number))
        else:
            assert torch.equal(found, value(number)["value"])


def start(work: object, *arguments: object) -> BaseProcess:
    process = FORK.Process(target=work, args=arguments)  # type: ignore[arg-type]
    process.start()
    return process


def check_ended_well(workers: Sequence[BaseProcess]) -> None:
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * len(workers)


def whole_entries(root: Path) -> int:
    """All entries are whole; returns how many there are."""
    entries = list((root / "encodings").rglob("*.safetensors"))
    for path in entries:
        assert len(load_file(path)["value"].unique()) == 1
    return len(entries)


def age(paths: Sequence[Path], hours: float) -> None:
    for path in paths:
        then = path.stat().st_mtime - hours * 3600
        os.utime(path, (then, then))


def test_writers_of_the_same_and_of_different_entries(root: Path) -> None:
    check_ended_well([start(write, 0, 3, 1.0), start(write, 1, 3, 1.0), start(write, 2, 200, 1.0)])
    assert whole_entries(root) > 20
    assert not list(root.rglob("*.part"))


def test_killed_writers_leave_whole_entries_and_what_they_left_is_cleared(root: Path) -> None:
    rng, num_workers = random.Random(0), 8
    for turn in range(num_workers):
        worker = start(write, turn, 1000, 60.0)
        while not list(root.rglob("*.safetensors")) and worker.is_alive():
            time.sleep(0.005)
        time.sleep(rng.uniform(0.02, 0.1))
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
        worker.join()
    num_entries = whole_entries(root)
    assert num_entries > num_workers
    (root / "encodings" / ".left.part").write_bytes(b"torn")  # at least this one, should no kill have hit a write
    left = list(root.rglob("*.part"))
    removed = cache.prune(0)
    assert (len(removed.entries), removed.num_abandoned) == (num_entries, 0)  # what is new may still be written
    age(left, hours=2)
    assert cache.prune(0).num_abandoned == len(left)
    assert not [path for path in root.rglob("*") if path.is_file() and path.name != "clock"]


def test_pruning_beside_readers_and_writers(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries that nobody claims are taken away under readers again and again: they make them again."""
    monkeypatch.setattr("posttrain.cache.account.living", lambda root: [])  # as if every lease had expired
    workers = [start(read, 0, 20, 2.0), start(read, 1, 20, 2.0), start(write, 2, 20, 2.0)]
    num_removed = 0
    while any(worker.is_alive() for worker in workers):
        num_removed += len(cache.prune(0).entries)
        time.sleep(0.01)
    check_ended_well(workers)
    assert num_removed > 20
    assert whole_entries(root) <= 20


def _claim(numbers: range, claimed: object, ended: object) -> None:
    files = EncodingFiles(memory_bytes=0)
    assert all(files.has(place(files, number)) for number in numbers)
    claimed.set()  # type: ignore[attr-defined]
    assert ended.wait(60)  # type: ignore[attr-defined]
    for number in numbers:
        assert torch.equal(files.read(place(files, number), "value")["value"], value(number)["value"])


def test_what_a_running_process_will_read_is_never_pruned(root: Path) -> None:
    files = EncodingFiles()
    for number in range(20):
        files.write(place(files, number), value(number))
    age([*root.rglob("*.safetensors"), *(root / "leases").glob("*.json")], hours=2)
    claimed, ended = FORK.Event(), FORK.Event()
    user = start(_claim, range(10), claimed, ended)
    assert claimed.wait(60)
    assert len(cache.prune(0).entries) == whole_entries(root) == 10
    ended.set()
    check_ended_well([user])
    age([*(root / "leases").glob("*.json")], hours=2)
    assert len(cache.prune(0).entries) == 10
