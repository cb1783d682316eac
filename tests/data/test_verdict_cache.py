"""What is remembered of files: across interruptions, kills and damage, and no longer than the file is the same."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from posttrain.data.verdict_cache import Verdict, VerdictCache
from posttrain.data.verdicts import judge_files
from posttrain.errors import EnvironmentFault


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    root = tmp_path / "source"
    root.mkdir()
    for index in range(20):
        (root / f"{index:02d}.bin").write_bytes(bytes([index]))
    return sorted(root.iterdir())


class Reader:
    """Judges a file by its bytes and counts what it read; `stop_at` makes Ctrl-C come at that file."""

    def __init__(self, stop_at: str = "") -> None:
        self.read: list[str] = []
        self._stop_at = stop_at

    def __call__(self, file: Path) -> Verdict:
        if file.name == self._stop_at:
            raise KeyboardInterrupt
        self.read.append(file.name)
        return Verdict(file.read_bytes().hex() or "", None, ((0.0, None),), (), {"frames": 1.0})


def journal(cache: Path) -> Path:
    (path,) = (cache / "scans").iterdir()
    return path


def judge(files: list[Path], reader: Callable[[Path], Verdict]) -> list[Verdict]:
    return judge_files(files[0].parent, files, ["test"], reader)


def test_files_are_read_once_until_they_change(files: list[Path]) -> None:
    first, again = Reader(), Reader()
    verdicts = judge(files, first)
    assert len(first.read) == 20
    files[3].write_bytes(b"another")
    assert judge(files, again)[4:] == verdicts[4:]
    assert again.read == [files[3].name]


def test_what_was_read_before_ctrl_c_is_kept(files: list[Path]) -> None:
    with pytest.raises(KeyboardInterrupt):
        judge(files, Reader(stop_at=files[12].name))
    rest = Reader()
    judge(files, rest)
    assert sorted(rest.read) == [file.name for file in files[12:]]


def test_a_torn_line_costs_one_file(files: list[Path], cache: Path) -> None:
    judge(files, Reader())
    path = journal(cache)
    path.write_bytes(path.read_bytes()[:-9])
    again, third = Reader(), Reader()
    verdicts = judge(files, again)
    assert again.read == [files[19].name]
    assert judge(files, third) == verdicts
    assert third.read == []


@pytest.mark.parametrize("damage", [b"\x00\xff junk", b"[1, 2]\n3\n", b""])
def test_a_damaged_journal_is_made_again(files: list[Path], cache: Path, damage: bytes) -> None:
    judge(files, Reader())
    journal(cache).write_bytes(damage)
    again, third = Reader(), Reader()
    judge(files, again)
    judge(files, third)
    assert (len(again.read), third.read) == (20, [])


def test_two_programs_at_one_journal_lose_nothing(files: list[Path]) -> None:
    caches = [VerdictCache(files[0].parent, ["test"], lambda _: "") for _ in range(2)]
    for index, file in enumerate(files):
        caches[index % 2].put(file, Reader()(file))
    for cache in caches:
        cache.close()
    reader = Reader()
    judge(files, reader)
    assert reader.read == []


def test_the_journal_does_not_grow_without_bound(files: list[Path], cache: Path) -> None:
    for turn in range(12):
        for file in files:
            os.utime(file, ns=(0, turn * 10**9))
        judge(files, Reader())
    lines = [json.loads(line) for line in journal(cache).read_bytes().split(b"\n") if line]
    assert len(lines) <= 2 * len(files) + 100
    assert {line["stamp"][-1] for line in lines[-len(files) :]} == {11 * 10**9}


def test_the_journal_is_written_while_files_are_read(
    files: list[Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("posttrain.data.verdict_cache._WRITE_EVERY_S", 0.0)
    one = VerdictCache(files[0].parent, ["test"], lambda _: "")
    one.put(files[0], Reader()(files[0]))
    assert json.loads(journal(cache).read_text().split("\n")[1])["file"] == files[0].name


def test_a_cache_that_cannot_be_written_is_told(files: list[Path], cache: Path) -> None:
    cache.write_text("a file in the way")
    with pytest.raises(EnvironmentFault, match="POSTTRAIN_CACHE"):
        judge(files, Reader())
