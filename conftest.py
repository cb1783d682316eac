"""What all tests run under: one thread a process, and a cache of the session's own."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# read when torch is imported: at this size more threads only wait for each other
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A fresh cache folder, or the one that POSTTRAIN_TEST_CACHE names: it saves the building of the base model."""
    named = os.environ.get("POSTTRAIN_TEST_CACHE")
    folder = Path(named).absolute() if named else tmp_path_factory.mktemp("cache")
    folder.mkdir(parents=True, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POSTTRAIN_CACHE", str(folder))
        yield folder
