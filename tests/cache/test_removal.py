"""The limit of the cache: what was used longest ago goes first, what is in use stays, and the numbers are told."""

import os
from pathlib import Path

import pytest

from posttrain import cache
from posttrain.cache import account as accounts
from posttrain.errors import ConfigError, EnvironmentFault


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POSTTRAIN_CACHE", str(tmp_path))
    monkeypatch.setenv("POSTTRAIN_CACHE_LIMIT", "1000")
    return tmp_path


def put(root: Path, name: str, *, days_ago: float, num_bytes: int = 400) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * num_bytes)
    then = path.stat().st_mtime - days_ago * 86400
    os.utime(path, (then, then))
    return path


def folder(root: Path, name: str, *, days_ago: float) -> Path:
    path = put(root, f"{name}/part/weights", days_ago=0).parent.parent
    then = path.stat().st_mtime - days_ago * 86400
    os.utime(path, (then, then))
    return path


def names(removed: cache.Removed) -> set[str]:
    return {entry.path.name for entry in removed.entries}


def test_the_account_knows_every_kind(root: Path) -> None:
    put(root, "encodings/latents/ab/one", days_ago=3)
    put(root, "media/cd/two.png", days_ago=2, num_bytes=10)
    put(root, "scans/three.json", days_ago=1, num_bytes=20)
    folder(root, "tiny/qwen", days_ago=5)
    put(root, "tiny/qwen.lock", days_ago=5, num_bytes=0)
    account = cache.survey()
    found = {(entry.kind, entry.path.name): entry.num_bytes for entry in account.entries}
    assert found == {
        ("encodings", "one"): 400,
        ("media", "two.png"): 10,
        ("scans", "three.json"): 20,
        ("tiny", "qwen"): 400,
    }
    assert account.num_bytes == 830
    assert account.limit == 1000


def test_the_longest_unused_goes_first_until_the_limit_holds(root: Path) -> None:
    for days in (1, 2, 3, 4):
        put(root, f"encodings/latents/{days}", days_ago=days)
    assert names(cache.trim()) == {"3", "4"}
    assert {entry.path.name for entry in cache.survey().entries} == {"1", "2"}
    assert names(cache.trim()) == set()


def test_whole_folders_go_as_one_and_small_notes_stay(root: Path) -> None:
    tiny = folder(root, "tiny/qwen", days_ago=9)
    put(root, "scans/notes.json", days_ago=30)
    put(root, "encodings/rows/new", days_ago=1)
    assert names(cache.trim()) == {"qwen"}
    assert not tiny.exists()
    assert {entry.kind for entry in cache.survey().entries} == {"scans", "encodings"}


def test_room_is_made_for_what_a_sweep_will_write(root: Path) -> None:
    put(root, "encodings/latents/old", days_ago=9)
    own = put(root, "encodings/latents/own", days_ago=8)
    assert cache.touch(own)
    assert names(cache.make_room(400, 200)) == set()
    assert names(cache.make_room(400, 600)) == {"old"}
    assert own.exists()


def test_a_sweep_beyond_the_limit_is_told_before_it_begins(root: Path) -> None:
    put(root, "encodings/latents/old", days_ago=9)
    with pytest.raises(EnvironmentFault, match=r"needs 1\.1 kB .* is 1 kB; set POSTTRAIN_CACHE_LIMIT"):
        cache.make_room(400, 700)
    assert len(cache.survey().entries) == 1


def test_what_others_use_is_never_removed_and_they_are_named(root: Path) -> None:
    used = put(root, "encodings/latents/used", days_ago=9)
    cache.touch(used)
    with pytest.raises(EnvironmentFault, match=rf"another 800 B.* 400 B are in use \(.*:{os.getpid()}\)"):
        cache.make_room(0, 800)
    put(root, "encodings/latents/more", days_ago=0, num_bytes=700)
    with pytest.raises(EnvironmentFault, match=r"use 1\.1 kB of the cache, and its limit is 1 kB"):
        cache.trim()
    assert used.exists()


def test_pruning_to_a_size_and_by_age(root: Path) -> None:
    for days in (1, 20, 40):
        put(root, f"encodings/latents/{days}", days_ago=days)
    put(root, "scans/60", days_ago=60)
    assert names(cache.prune(older_s=30 * 86400)) == {"40", "60"}
    assert names(cache.prune(500)) == {"20"}
    assert names(cache.prune(0)) == {"1"}
    assert cache.survey().entries == []


def test_abandoned_files_are_told_and_removed_but_not_those_being_written(root: Path) -> None:
    left = put(root, "encodings/latents/ab/.name.part", days_ago=1)
    built = folder(root, "tiny/.qwen.part", days_ago=1)
    young = put(root, "encodings/latents/ab/.young.part", days_ago=0)
    account = cache.survey()
    assert {abandoned.path for abandoned in account.abandoned} == {left, built}
    assert account.entries == []
    removed = cache.prune()
    assert (removed.num_abandoned, removed.abandoned_bytes) == (2, 800)
    assert young.exists()
    assert not left.exists()
    assert not built.exists()


def test_an_entry_touched_after_it_was_looked_at_stays(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(root, "encodings/latents/one", days_ago=9)
    seen = cache.survey()
    os.utime(path)
    monkeypatch.setattr("posttrain.cache.removal.survey", lambda: seen)
    assert cache.prune(0).entries == []
    assert path.exists()


def test_without_a_limit_half_of_what_the_disk_has_is_allowed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POSTTRAIN_CACHE_LIMIT")
    put(root, "encodings/latents/one", days_ago=0)
    monkeypatch.setattr(accounts, "free_bytes", lambda: 1600)
    assert cache.survey().limit == 1000


@pytest.mark.parametrize(
    ("text", "num_bytes"),
    [("200GB", 200 * 10**9), ("1.5 TiB", 3 * 2**39), ("0", 0), ("10 m", 10**7), ("7kb", 7000)],
)
def test_sizes(text: str, num_bytes: int) -> None:
    assert accounts.parse_size(text, "--prune") == num_bytes


def test_a_limit_that_is_no_size_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTTRAIN_CACHE_LIMIT", "much")
    with pytest.raises(ConfigError, match=r"POSTTRAIN_CACHE_LIMIT: 'much' is no size.*200GB"):
        cache.survey()


def test_size_texts() -> None:
    assert [accounts.size_text(n) for n in (0, 999, 1000, 1234567, 2.5e12)] == [
        "0 B",
        "999 B",
        "1 kB",
        "1.23 MB",
        "2.5 TB",
    ]
