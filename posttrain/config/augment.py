"""Augmentations: what a draw may read instead of the plain sample. Each type stands at most once in the list.

Those that change pixels make encodings of their own: a bounded number of variants of every sample, which are the same
in all trials whatever their seed. The others act on a draw and cost no encoding but that of a text.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from posttrain.config.base import Section, Share, refusal

# Below 1: a training without any captions, or any clean frames, would be another one.
ShareBelowOne = Annotated[float, Field(ge=0, lt=1)]


class FlipConfig(Section):
    """Mirrors clip and controls; left and right of the caption are exchanged, or the sample is left alone."""

    type: Literal["flip"]
    probability: Share


class CropConfig(Section):
    """Reads a part of the picture, of the model's shape, at a random place."""

    type: Literal["crop"]
    probability: Share
    min_scale: Annotated[float, Field(ge=0.25, lt=1)] = 0.8
    """The smallest part, as a share of width and height."""


class ColourConfig(Section):
    """Changes brightness, contrast, saturation and a little of the hue, alike in all frames of a clip."""

    type: Literal["colour"]
    probability: Share
    strength: Annotated[float, Field(gt=0, le=0.5)] = 0.1
    """Factors lie between 1 - strength and 1 + strength."""


class StrideConfig(Section):
    """Takes every k-th frame of the model's grid, so that the window lasts k times as long."""

    type: Literal["stride"]
    probability: Share
    max: Annotated[int, Field(ge=2, le=8)] = 2
    """The largest k; the smallest is 2."""


class SpeedConfig(Section):
    """Plays the clip slower or faster."""

    type: Literal["speed"]
    probability: Share
    min: Annotated[float, Field(ge=0.25, le=1)] = 0.8
    """The slowest: 0.5 is half the speed."""
    max: Annotated[float, Field(ge=1, le=4)] = 1.25
    """The fastest: 2 is twice the speed."""

    @field_validator("max")
    @classmethod
    def _differs(cls, fastest: float, info: ValidationInfo) -> float:
        if info.data.get("min") == fastest:
            raise refusal("min and max are both 1, so no clip changes its speed", "for example min: 0.8, max: 1.25")
        return fastest


class ReverseConfig(Section):
    """Plays the clip backwards. It breaks physics: things fall upwards."""

    type: Literal["reverse"]
    probability: Share


class CaptionDropoutConfig(Section):
    """Trains a share of the draws without their caption, which classifier-free guidance needs."""

    type: Literal["caption_dropout"]
    probability: ShareBelowOne


class ParaphraseConfig(Section):
    """Reads one of the sample's paraphrases instead of its caption; evaluations always read the caption."""

    type: Literal["paraphrase"]
    probability: Share


class ConditioningNoiseConfig(Section):
    """Adds noise to the given frames in training: a model samples on from frames that are not perfect."""

    type: Literal["conditioning_noise"]
    probability: Share
    max_sigma: Annotated[float, Field(gt=0, le=1)] = 0.1
    """The strongest noise, as a multiple of the standard deviation of clean latents; levels are drawn evenly below."""


AugmentationConfig = Annotated[
    FlipConfig
    | CropConfig
    | ColourConfig
    | StrideConfig
    | SpeedConfig
    | ReverseConfig
    | CaptionDropoutConfig
    | ParaphraseConfig
    | ConditioningNoiseConfig,
    Field(discriminator="type"),
]


def by_type(augmentations: Iterable[AugmentationConfig]) -> dict[str, Any]:
    """The sections by their type, which a reader knows the keys of."""
    return {step.type: step for step in augmentations}


# These change which pixels are read, and so which encodings.
PIXEL_TYPES = ("flip", "crop", "colour", "stride", "speed", "reverse")
# These change which frames of a video are read; a clip of one frame knows no time.
TEMPORAL_TYPES = ("stride", "speed", "reverse")

REVERSE_WARNING = "plays clips backwards, which breaks physics: what falls rises, smoke returns, people walk backwards"
