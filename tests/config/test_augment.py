"""Augmentations in the sweep file: what is refused, what is warned of, and what can be searched."""

from collections.abc import Callable

import pytest

from posttrain.config import load_sweep
from posttrain.config.space_check import searchable, searched_probabilities, widest_data
from posttrain.errors import Issue
from tests.config.conftest import Write

Issues = Callable[..., list[Issue]]
DROPOUT = "{type: caption_dropout, probability: 0.1}"
EVERY = """[
    {type: flip, probability: 0.5}, {type: crop, probability: 0.3, min_scale: 0.7},
    {type: colour, probability: 0.3, strength: 0.2}, {type: stride, probability: 0.1, max: 3},
    {type: speed, probability: 0.1, min: 0.5, max: 2}, {type: reverse, probability: 0.1},
    {type: caption_dropout, probability: 0.2}, {type: paraphrase, probability: 0.5},
    {type: conditioning_noise, probability: 0.5, max_sigma: 0.2}]
  augmentation_variants: 8"""


def test_all_types_are_read_and_their_probabilities_can_be_searched(write: Write) -> None:
    sweep = load_sweep(write((f"[{DROPOUT}]", EVERY)))
    data = sweep.config.data
    assert data.augmentation_variants == 8
    assert [step.type for step in data.augmentations] == [
        *("flip", "crop", "colour", "stride", "speed", "reverse", "caption_dropout", "paraphrase", "conditioning_noise")
    ]
    paths = searchable(sweep.config.model_dump())
    assert {f"data.augmentations.{step.type}.probability" for step in data.augmentations} <= set(paths)
    dimension = "  data.augmentations.flip.probability: {choice: [0.5, 0, 0.25]}\n  strategy.rank"
    searched = load_sweep(write((f"[{DROPOUT}]", EVERY), ("  strategy.rank", dimension)))
    assert searched_probabilities(searched.config.search_space) == {"flip": (0.0, 0.5)}


@pytest.mark.parametrize(
    ("step", "where", "message", "hint"),
    [
        ("{type: flip, probability: 2}", "flip.probability", "found 2", ""),
        ("{type: flip}", "flip.probability", "is missing", ""),
        ("{type: flip, probability: 0.5, max: 2}", "flip.max", "unknown key", ""),
        ("{type: colour, probability: 0.5, strenght: 0.1}", "colour.strenght", "unknown key", "'strength'"),
        ("{type: crop, probability: 0.5, min_scale: 1}", "crop.min_scale", "found 1", ""),
        ("{type: stride, probability: 0.5, max: 1}", "stride.max", "found 1", ""),
        ("{type: stride, probability: 0.5, max: 2.5}", "stride.max", "whole number", ""),
        ("{type: speed, probability: 0.5, min: 1, max: 1}", "speed.max", "both 1", "0.8"),
        ("{type: speed, probability: 0.5, min: 1.5}", "speed.min", "found 1.5", ""),
        ("{type: conditioning_noise, probability: 0.5, max_sigma: 0}", "conditioning_noise.max_sigma", "found 0", ""),
        ("{type: mirror, probability: 0.5}", "mirror.type", "expected one of flip, crop, colour", ""),
        (f"{DROPOUT}, {DROPOUT}", "caption_dropout", "there twice", ""),
    ],
)
def test_a_mistake_is_told_at_its_line(issues: Issues, step: str, where: str, message: str, hint: str) -> None:
    (issue,) = issues((DROPOUT, step))
    assert issue.where == f"data.augmentations.{where}"
    assert issue.line == 13
    assert message in issue.message
    assert hint in issue.hint


def test_what_cannot_act_is_refused(issues: Issues) -> None:
    noise = "{type: conditioning_noise, probability: 0.5}"
    (issue,) = issues((DROPOUT, noise), ("  steps: 40", "  conditioning_frames: {0: 1.0}\n  steps: 40"))
    assert (issue.where, issue.line) == ("data.augmentations.conditioning_noise.type", 13)
    (issue,) = issues((DROPOUT, "{type: stride, probability: 0.5}"), ("2.5}", "2.5, frames: 1}"))
    assert issue.where == "data.augmentations.stride.type"


def test_rows_have_no_augmentations(issues: Issues) -> None:
    found = issues(("tiny:predict2.5}", "tiny:qwen2.5-vl, family: vlm}"), ("lora, rank: 8", "full"))
    assert any(issue.where == "data.augmentations" and "is for diffusion models" in issue.message for issue in found)


def test_reverse_is_warned_of_and_variants_without_use_too(write: Write) -> None:
    (warning,) = [w for w in load_sweep(write((f"[{DROPOUT}]", EVERY))).warnings if "augmentation" in w.where]
    assert "breaks physics" in warning.message
    unread = load_sweep(write((f"[{DROPOUT}]", f"[{DROPOUT}]\n  augmentation_variants: 2"))).warnings
    assert [w.where for w in unread if "augmentation" in w.where] == ["data.augmentation_variants"]


def test_what_is_searched_of_a_stage_does_not_limit_what_is_encoded(write: Write) -> None:
    stage = "min_quality: 0.5\n      weights: {high: 1}"
    dimension = "  data.stages.focused.min_quality: {uniform: [0.5, 0.9]}\n  strategy.rank"
    fixed = load_sweep(write(("weights: {high: 1}", stage))).config
    assert widest_data(fixed) == fixed.data
    stages = widest_data(load_sweep(write(("weights: {high: 1}", stage), ("  strategy.rank", dimension))).config).stages
    assert stages is not None
    assert stages[0].weights is None  # searched in the file
    assert (stages[1].min_quality, stages[1].weights) == (None, {"high": 1.0, "low": 0.0})
