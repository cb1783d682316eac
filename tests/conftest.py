"""What the tests share: a cache of the session's own, the built-in base model, and a warm slot on two demo sources."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# read when torch is imported: at this size more threads only wait for each other
os.environ.setdefault("OMP_NUM_THREADS", "1")

if TYPE_CHECKING:
    from posttrain.models.vlm import VisionLanguageModel
    from posttrain.training.video_bench import VideoBench


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A fresh cache folder, or the one that POSTTRAIN_TEST_CACHE names: it saves the building of the base model."""
    named = os.environ.get("POSTTRAIN_TEST_CACHE")
    folder = Path(named).absolute() if named else tmp_path_factory.mktemp("cache")
    folder.mkdir(parents=True, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POSTTRAIN_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def tiny(cache: Path) -> Path:
    """The folder of the checkpoint tiny:predict2.5: a briefly trained base."""
    from posttrain.models.tiny import resolve

    return resolve("tiny:predict2.5")


@pytest.fixture(scope="session")
def bench(tiny: Path) -> "VideoBench":
    """A loaded base with everything of `trial_config()` encoded, as a slot keeps it from trial to trial.

    The whole session borrows it: a test that leaves a trace in it breaks the promise that it tests.
    """
    from tests.tiny_trial import open_bench, trial_config

    assert tiny.is_dir()
    return open_bench(trial_config())


@pytest.fixture(scope="session", params=["tiny:qwen2.5-vl", "tiny:qwen3-vl"])
def chat(request: pytest.FixtureRequest, cache: Path) -> "VisionLanguageModel":
    """Each built-in vision-language base, loaded once; like `bench`, a test gives it back as it was."""
    from tests.chat import load

    return load(request.param)
