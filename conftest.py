"""Runs every test with one thread per process and the session's own cache, and groups tests for parallel workers."""

import gc
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

# read when torch is imported: at this size more threads only wait for each other
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh cache folder that the workers of a session share, or the one that POSTTRAIN_TEST_CACHE names."""
    named = os.environ.get("POSTTRAIN_TEST_CACHE")
    folder = Path(named).absolute() if named else _session_folder(tmp_path_factory) / "cache"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session", autouse=True)
def cache(shared_cache: Path) -> Iterator[Path]:
    """What tests read and write, but for those that have a cache of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POSTTRAIN_CACHE", str(shared_cache))
        yield shared_cache


def _session_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The temporary folder of the whole session; a worker of pytest-xdist has one of its own inside it."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="module", autouse=True)
def _libraries_are_no_garbage() -> None:
    """The Trainer collects garbage twice a trial: half a second over all that was there before a file's tests."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
    """Keeps a file's tests on one worker, all tests with Ray on one, and starts with what takes longest.

    Fixtures of a module are then made once; files that share a costly one name a group of their own. Tests with Ray
    count Ray's processes on the whole machine, so no two of them may run at a time.
    """
    for item in items:
        if _marked(item, "ray"):
            item.add_marker(pytest.mark.xdist_group("ray"))
        elif not _marked(item, "xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
    yield
    if "PYTEST_XDIST_WORKER" in os.environ:
        if config.option.loadgroup and not all("@" in item.nodeid for item in items):
            raise pytest.UsageError("pytest-xdist groups no tests with this pytest: take the one of versions.lock")
        slow = Counter(item.path for item in items if _marked(item, "slow"))
        items.sort(key=lambda item: (not _marked(item, "ray"), -slow[item.path]))


def _marked(item: pytest.Item, name: str) -> bool:
    return item.get_closest_marker(name) is not None
