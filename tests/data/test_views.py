"""Variants: bounded, in their share, the same everywhere, and none that a trial could draw is missing."""

import itertools
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from posttrain.config import DataConfig
from posttrain.data import Sample
from posttrain.data.caption_turns import AMBIGUOUS, READING
from posttrain.data.views import (
    DIRECTION,
    NO_PARAPHRASES,
    PACE,
    TOO_SHORT,
    largest_paces,
    left_alone,
    plain,
    variant,
    variants,
)

ALL = [
    {"type": "flip", "probability": 0.5},
    {"type": "crop", "probability": 0.25, "min_scale": 0.7},
    {"type": "colour", "probability": 0.75, "strength": 0.3},
    {"type": "stride", "probability": 0.25, "max": 3},
    {"type": "speed", "probability": 0.5, "min": 0.5, "max": 2},
    {"type": "reverse", "probability": 0.5},
]


def data(*augmentations: dict[str, Any], variants: int = 4) -> DataConfig:
    sources = {"one": {"path": "one"}}
    given = {"sources": sources, "augmentations": augmentations, "augmentation_variants": variants}
    return DataConfig.model_validate(given)


def sample(number: int = 0, caption: str = "A cat on the left.", pace: float = 9.0) -> Sample:
    return Sample(f"one/{number}", "one", Path(f"{number}.mp4"), 0.0, caption, {}, f"{number:064d}", longest_pace=pace)


def test_an_augmentation_acts_in_its_share() -> None:
    """Exactly, over the variants of each sample, where the share is a whole number of them."""
    config = data(*ALL)
    for number in range(20):
        views = [variant(sample(number, "A cat."), "all", config, index) for index in range(4)]
        for step in ALL:
            assert sum(step["type"] in view.types for view in views) == 4 * step["probability"]
    config = data({"type": "flip", "probability": 0.1})
    flipped = [
        variant(sample(number), "all", config, index).transform.flip for number in range(500) for index in range(4)
    ]
    assert sum(flipped) == pytest.approx(200, abs=30)


def test_parameters_stay_in_their_ranges_and_differ() -> None:
    config = data(*[{**step, "probability": 1.0} for step in ALL])
    views = [variant(sample(number, "A cat."), "all", config, index) for number in range(50) for index in range(4)]
    paces, cuts = [view.transform.pace for view in views], [view.transform.cut for view in views]
    assert 1.0 <= min(paces) < 1.3
    assert 4.5 < max(paces) <= 6.0
    assert all(0.7 <= cut.scale < 1 and 0 <= cut.x <= 1 and 0 <= cut.y <= 1 for cut in cuts)
    colours = [view.transform.colour for view in views]
    assert all(colour is not None and abs(colour.brightness - 1) <= 0.3 and abs(colour.hue) <= 9 for colour in colours)
    assert len({view.transform.key for view in views}) == len(views)
    only = data({"type": "stride", "probability": 1.0, "max": 3})
    assert {variant(sample(n, "A cat."), "all", only, i).transform.pace for n in range(9) for i in range(4)} == {
        2.0,
        3.0,
    }


def test_variants_depend_on_content_stage_and_number_alone() -> None:
    config = data(*ALL)
    view = variant(sample(), "all", config, 1)
    moved = replace(sample(), id="other/x", source="other", video=Path("/elsewhere/y.mp4"))
    assert variant(moved, "all", config, 1) == view
    others = [
        variant(sample(), "broad", config, 1),
        variant(sample(), "all", config, 2),
        variant(sample(1), "all", config, 1),
        variant(replace(sample(), start_s=1.0), "all", config, 1),
    ]
    assert all(other.transform != view.transform for other in others)


def test_another_process_draws_the_same() -> None:
    code = (
        "from tests.data.test_views import *\n"
        "print([variant(sample(n), 'all', data(*ALL), i).transform.key for n in range(3) for i in range(4)])"
    )
    other_seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    told = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": ".", "PYTHONHASHSEED": other_seed},
        capture_output=True,
        check=True,
    ).stdout.decode()
    assert told == f"{[variant(sample(n), 'all', data(*ALL), i).transform.key for n in range(3) for i in range(4)]}\n"


def test_every_view_that_a_trial_draws_is_there_and_their_number_is_bounded() -> None:
    config = data(*ALL)
    for number in range(5):
        one = sample(number, "A cat.")
        found = variants(one, ["broad", "focused"], config, {"crop": (0.2, 0.9)})
        assert found[""] == plain(one)
        assert len(found) <= 1 + 2 * 4 * 2  # stages x variants x what is open
        unsearched = variants(one, ["broad", "focused"], config, {})
        assert unsearched.keys() <= found.keys()
        assert len(unsearched) <= 1 + 2 * 4
        for probability, stage, index in itertools.product(
            (0.2, 0.37, 0.5, 0.899, 0.9), ("broad", "focused"), range(4)
        ):
            steps = [{**step, "probability": probability} if step["type"] == "crop" else step for step in ALL]
            drawn = variant(one, stage, data(*steps), index)
            assert found[drawn.transform.key] == replace(drawn, types=found[drawn.transform.key].types)


def test_a_flip_alone_is_one_more_encoding() -> None:
    found = variants(sample(), ["all"], data({"type": "flip", "probability": 0.5}), {"flip": (0.0, 1.0)})
    assert found.keys() == {"", "flip"}
    assert found["flip"].caption == "A cat on the right."


def test_without_augmentations_of_pixels_there_is_the_plain_view() -> None:
    config = data({"type": "caption_dropout", "probability": 0.2}, {"type": "paraphrase", "probability": 0.5})
    assert variants(sample(), ["all"], config, {}) == {"": plain(sample())}
    assert variant(sample(), "all", config, 3) == plain(sample())


def test_a_mirrored_clip_has_the_paraphrases_that_can_be_turned() -> None:
    one = replace(sample(), paraphrases=("To the left sits a cat.", "What is left: a cat.", "A cat sits."))
    views = variants(one, ["all"], data({"type": "flip", "probability": 1.0}), {})
    assert views["flip"].paraphrases == ("To the right sits a cat.", "A cat sits.")
    assert views[""].paraphrases == one.paraphrases


@pytest.mark.parametrize(
    ("one", "alone"),
    [
        (sample(), {"paraphrase": NO_PARAPHRASES, "reverse": DIRECTION}),
        (sample(caption="The man left."), {"flip": AMBIGUOUS, "reverse": DIRECTION}),
        (sample(caption="A sign."), {"flip": READING}),
        (sample(caption="A cat runs fast."), {"stride": PACE, "speed": PACE, "reverse": DIRECTION}),
        (sample(caption="A cat.", pace=1.0), {"stride": TOO_SHORT, "speed": TOO_SHORT}),
        (sample(caption="A cat.", pace=2.0), {"stride": TOO_SHORT}),
        (sample(caption="A cat.", pace=3.0), {"speed": TOO_SHORT}),
        (sample(caption="A cat.", pace=6.0), {}),
    ],
    ids=lambda value: str(getattr(value, "caption", "")),
)
def test_what_cannot_be_augmented_truthfully_is_left_alone(one: Sample, alone: dict[str, str]) -> None:
    config = data(*ALL, {"type": "paraphrase", "probability": 0.5})
    found = left_alone(one, config)
    assert {name: found[name] for name in alone} == alone
    assert set(found) - set(alone) <= {"paraphrase"}
    for index in range(4):
        assert not variant(one, "all", config, index).types & alone.keys()


def test_the_paces_that_videos_are_measured_for() -> None:
    assert largest_paces(data(ALL[0])) == []
    assert largest_paces(data(ALL[3])) == [3.0]
    assert largest_paces(data(ALL[3], ALL[4])) == [2.0, 3.0, 6.0]
    assert largest_paces(data({"type": "speed", "probability": 1.0, "max": 1.0})) == []
