"""A trial of every Predict generation through the Trainer: LoRA and Full, from the cache, on clips and on pictures."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from posttrain.data import decode
from posttrain.paths import TrialPaths
from posttrain.tracking.results import Outcome
from posttrain.training.train import train
from posttrain.training.video_bench import VideoBench
from tests.look import Look
from tests.tiny_trial import FULL, Listener, open_bench, trial_config

pytestmark = pytest.mark.full

NAMES = ["tiny:predict2", "tiny:predict2-t2i", "tiny:predict1", "tiny:predict1-t2w"]
SHORT: dict[str, Any] = {"training.steps": 2, "evaluation.every": 2}


@pytest.fixture(scope="module", params=NAMES)
def slot(request: pytest.FixtureRequest) -> VideoBench:
    return open_bench(trial_config({"model.checkpoint": request.param, **SHORT}))


@pytest.fixture
def untouched(slot: VideoBench) -> Iterator[None]:
    before = Look(slot.family.transformer)
    yield
    assert Look(slot.family.transformer) == before


def run(slot: VideoBench, folder: Path, listener: Listener | None = None, **changes: Any) -> Outcome:
    config = trial_config({"model.checkpoint": slot.family.folder.as_posix(), **SHORT, **changes})
    return train(config, slot, TrialPaths(folder), listener or Listener())


def test_what_was_cached_equals_what_is_encoded_live(slot: VideoBench) -> None:
    samples = slot.samples()[:2]
    live = slot.family.encode_prompts([sample.caption for sample in samples])
    for sample, prompt in zip(samples, live, strict=True):
        assert torch.equal(slot.store.prompt(sample.caption), prompt)
        frames = decode(sample.video, slot.family.clip, sample.start_s)
        assert torch.equal(slot.store.latents(sample), slot.family.encode_frames(frames))


@pytest.mark.parametrize("strategy", ["lora", "full"])
@pytest.mark.usefixtures("untouched")
def test_a_resumed_trial_equals_a_straight_one(slot: VideoBench, tmp_path: Path, strategy: str) -> None:
    changes = FULL if strategy == "full" else {}
    straight = run(slot, tmp_path / "straight", **changes)
    assert straight.status == "completed"
    assert set(straight.metrics) == {"seen/loss", "seen/psnr", "other/loss", "other/psnr"}
    assert straight.metrics["seen/loss"]["best"] != straight.metrics["other/loss"]["best"]
    cut = run(slot, tmp_path / "cut", Listener(interrupt_at=1), **changes)
    assert cut.status == "interrupted"
    resumed = run(slot, tmp_path / "cut", **changes)
    assert resumed.status == "completed"
    assert resumed.metrics == straight.metrics


def test_pictures_train_a_model_that_makes_pictures(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "captions").mkdir()
    for index, colour in enumerate(["red", "green", "blue", "white", "orange", "navy"]):
        Image.fromarray(np.full((40, 40, 3), 40 * index, np.uint8)).save(tmp_path / "images" / f"{colour}.png")
        (tmp_path / "captions" / f"{colour}.json").write_text(json.dumps({"caption": f"A {colour} wall."}))
    config = trial_config(
        {
            "model.checkpoint": "tiny:predict2-t2i",
            "data": {"sources": {"walls": {"path": str(tmp_path)}}, "stages": [{"name": "all", "fraction": 1.0}]},
            "evaluation.suites": {"held_out": {"source": "walls", "samples": 1}},
            **SHORT,
        }
    )
    slot = open_bench(config)
    assert {sample.video.suffix for sample in slot.samples()} == {".png"}
    outcome = train(config, slot, TrialPaths(tmp_path / "trial"), Listener())
    assert outcome.status == "completed"
    assert outcome.mixture == {"all": {"walls": 8}}
