"""The built-in base through our family and through plain diffusers, and one clip for both."""

from pathlib import Path
from typing import Any

import pytest

from posttrain.data import Sample, decode
from posttrain.models.base import Frames
from posttrain.training.video_bench import VideoBench
from tests.plain_diffusers import plain_pipeline


@pytest.fixture(scope="session")
def plain(tiny: Path) -> Any:
    return plain_pipeline(tiny)


@pytest.fixture
def sample(bench: VideoBench) -> Sample:
    return bench.samples()[0]


@pytest.fixture
def frames(bench: VideoBench, sample: Sample) -> Frames:
    return decode(sample.video, bench.family.clip, sample.start_s)
