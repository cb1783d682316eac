"""Which samples are worth training on: one section per filter, told apart by `type`.

    filters: standard                                    what suits almost all data, with the thresholds below
    filters: [standard, {type: sharpness, min: 4}]       the same with other thresholds, or more filters
    filters: [{type: motion}, {type: duplicate}]         these alone

Left out, nothing is filtered. What each measures: `data/scores.py`; how the defaults were chosen: docs/curation.md.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from posttrain.config.base import Finding, Section, Share, refusal
from posttrain.config.where import WhereText

_Positive = Annotated[float, Field(gt=0)]
_Zero = Annotated[float, Field(ge=0)]
_Count = Annotated[int, Field(ge=1)]


def _need_one(section: Section, names: tuple[str, ...]) -> None:
    if all(getattr(section, name) is None for name in names):
        raise refusal("has no threshold, so it drops nothing", f"give {', '.join(names[:-1])} or {names[-1]}")


def _ordered(low: str, least: float | None, high: str, most: float | None) -> None:
    if least is not None and most is not None and least > most:
        raise refusal(f"{low} is {least:g} and {high} is {most:g}, so nothing is left", f"make {high} the larger one")


class DurationFilter(Section):
    """Drops files that are too short or too long, as a whole: a window of them may be shorter."""

    type: Literal["duration"]
    min_s: _Positive | None = None
    """In seconds."""
    max_s: _Positive | None = None
    """In seconds."""
    min_frames: _Count | None = None
    """Frames in the file, at its own rate."""

    @model_validator(mode="after")
    def _some(self) -> "DurationFilter":
        _need_one(self, ("min_s", "max_s", "min_frames"))
        _ordered("min_s", self.min_s, "max_s", self.max_s)
        return self


class ResolutionFilter(Section):
    """Drops files whose pictures, upright, are smaller."""

    type: Literal["resolution"]
    min_height: _Count | None = None
    """In pixels."""
    min_width: _Count | None = None
    """In pixels."""

    @model_validator(mode="after")
    def _some(self) -> "ResolutionFilter":
        _need_one(self, ("min_height", "min_width"))
        return self


class BrightnessFilter(Section):
    """Drops clips that are black or white: mean grey, 0 to 1."""

    type: Literal["brightness"]
    min: Share = 0.015
    """The darkest mean grey."""
    max: Share = 0.98
    """The brightest mean grey."""

    @model_validator(mode="after")
    def _right_order(self) -> "BrightnessFilter":
        _ordered("min", self.min, "max", self.max)
        return self


class ContrastFilter(Section):
    """Drops clips without structure: standard deviation of the levels inside a picture, 0 to 0.5."""

    type: Literal["contrast"]
    min: Share = 0.01
    """The smallest standard deviation."""


class SharpnessFilter(Section):
    """Drops blurred clips: variance of the Laplacian of pictures whose shorter side is at most 256 pixels."""

    type: Literal["sharpness"]
    min: _Zero = 10.0
    """The smallest variance."""


class CutsFilter(Section):
    """Drops clips in which the scene changes at once."""

    type: Literal["cuts"]
    max: Annotated[int, Field(ge=0)] = 0
    """The most cuts in a clip."""


class MotionFilter(Section):
    """Drops clips in which nothing moves, or everything: mean absolute difference of successive frames, 0 to 1."""

    type: Literal["motion"]
    min: Share = 0.0002
    """The smallest mean difference."""
    max: Share = 1.0
    """The largest mean difference."""

    @model_validator(mode="after")
    def _right_order(self) -> "MotionFilter":
        _ordered("min", self.min, "max", self.max)
        return self


class ShakeFilter(Section):
    """Drops clips of a shaking camera: change of its speed from frame to frame, as a share of the picture's width."""

    type: Literal["shake"]
    max: Share = 0.02
    """The largest median change."""


class CaptionFilter(Section):
    """Drops captions (of questions: answers) of too few or too many words, or that too many clips share."""

    type: Literal["caption"]
    min_words: Annotated[int, Field(ge=0)] = 3
    """The fewest words."""
    max_words: _Count | None = None
    """The most words."""
    max_repeats: _Count | None = None
    """How many videos of a source may share a caption; one that more share says nothing about any of them."""

    @model_validator(mode="after")
    def _right_order(self) -> "CaptionFilter":
        _ordered("min_words", self.min_words, "max_words", self.max_words)
        return self


class DuplicateFilter(Section):
    """Keeps one of several copies: the one of higher quality, then of the earlier source, then of the smaller id."""

    type: Literal["duplicate"]
    distance: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    """The share of the bits in which the hashes of near duplicates differ; 0 finds copies that hash the same."""


class WhereFilter(Section):
    """Keeps the samples whose metadata fulfil a condition."""

    type: Literal["where"]
    where: WhereText
    """For example: quality >= 0.8 and camera == 'ego'."""


class OutlierFilter(Section):
    """Drops clips that are unlike the others of their source in any score."""

    type: Literal["outlier"]
    max: _Positive = 8.0
    """The largest distance from the median, in standard deviations as the median deviation tells them."""


class BalanceFilter(Section):
    """Drops samples of frequent classes, chosen by the hash of their content, until no class is too frequent."""

    type: Literal["balance"]
    by: Annotated[str, Field(min_length=1)]
    """A column of the metadata, or `answer` of questions."""
    max_ratio: Annotated[float, Field(ge=1)] = 3.0
    """The largest class over the smallest."""


class StandardFilters(Section):
    """The standard list; `standard` is short for it."""

    type: Literal["standard"]


FilterConfig = (
    DurationFilter
    | ResolutionFilter
    | BrightnessFilter
    | ContrastFilter
    | SharpnessFilter
    | CutsFilter
    | MotionFilter
    | ShakeFilter
    | CaptionFilter
    | WhereFilter
    | OutlierFilter
    | DuplicateFilter
    | BalanceFilter
)
# Type -> section, in the order in which filters apply: a sample is dropped for the first one that objects to it.
FILTERS: dict[str, type[FilterConfig]] = {
    "duration": DurationFilter,
    "resolution": ResolutionFilter,
    "brightness": BrightnessFilter,
    "contrast": ContrastFilter,
    "sharpness": SharpnessFilter,
    "cuts": CutsFilter,
    "motion": MotionFilter,
    "shake": ShakeFilter,
    "caption": CaptionFilter,
    "where": WhereFilter,
    "outlier": OutlierFilter,
    "duplicate": DuplicateFilter,
    "balance": BalanceFilter,
}
# The standard list of clips, and of rows of questions, whose answers may be one word and the same for many.
STANDARD: tuple[FilterConfig, ...] = (
    BrightnessFilter(type="brightness"),
    ContrastFilter(type="contrast"),
    SharpnessFilter(type="sharpness"),
    CutsFilter(type="cuts"),
    MotionFilter(type="motion"),
    ShakeFilter(type="shake"),
    CaptionFilter(type="caption", max_repeats=10),
    DuplicateFilter(type="duplicate"),
)
STANDARD_OF_ROWS: tuple[FilterConfig, ...] = (DuplicateFilter(type="duplicate"),)
# Filters that look at pictures: questions have none of them.
OF_CLIPS = ("duration", "resolution", "brightness", "contrast", "sharpness", "cuts", "motion", "shake", "outlier")
# Filters that need every clip measured.
MEASURED = ("brightness", "contrast", "sharpness", "cuts", "motion", "shake", "outlier", "duplicate")


def _named(given: Any) -> Any:
    """`standard` is short for `{type: standard}`, and so is the name of any filter with its defaults."""
    return {"type": given} if isinstance(given, str) else given


def _listed(given: Any) -> Any:
    """`filters: standard` is short for a list of one."""
    return (given,) if isinstance(given, str) else given


Filter = Annotated[
    Annotated[FilterConfig | StandardFilters, Field(discriminator="type")],
    BeforeValidator(_named),
]
Filters = Annotated[tuple[Filter, ...], Field(strict=False), BeforeValidator(_listed)]


def filters_in_force(filters: Sequence[FilterConfig | StandardFilters], rows: bool) -> tuple[FilterConfig, ...]:
    """The list with `standard` spelt out, in the order in which filters apply; the file's own entries go before it."""
    by_type: dict[str, FilterConfig] = {}
    if any(isinstance(entry, StandardFilters) for entry in filters):
        by_type = {entry.type: entry for entry in (STANDARD_OF_ROWS if rows else STANDARD)}
    by_type |= {entry.type: entry for entry in filters if not isinstance(entry, StandardFilters)}
    return tuple(by_type[name] for name in FILTERS if name in by_type)


def repeated_types(filters: Sequence[FilterConfig | StandardFilters]) -> list[Finding]:
    """Types that are there twice; paths are relative to `data.filters`."""
    types = [entry.type for entry in filters]
    return [
        ((str(index), "type"), f"the filter {name!r} is there twice", "one filter of each type: delete one")
        for index, name in enumerate(types)
        if name in types[:index]
    ]
