"""What the tests share: the built-in base model, and a warm slot on two demo sources."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from posttrain.models.vlm import VisionLanguageModel
    from posttrain.training.video_bench import VideoBench


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
