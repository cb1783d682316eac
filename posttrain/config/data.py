"""Where samples come from, and in which shares they are seen."""

import math
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from posttrain.config.base import Finding, Name, Section, Share, refusal, refusals
from posttrain.config.filters import FilterConfig, Filters, StandardFilters, repeated_types
from posttrain.config.support import nearest


class ColumnsConfig(Section):
    """Which columns of metadata files, shards and caption files mean what, where they have names of their own."""

    caption: Annotated[str, Field(min_length=1)] | None = None
    """The caption; the first of caption, text and prompt when left out. In a tar also an ending, such as txt."""
    video: Annotated[str, Field(min_length=1)] | None = None
    """The clip: the file's name in a metadata file (file_name when left out), the bytes in a Parquet file, the ending
    in a tar."""


class SourceConfig(Section):
    """A named set of clips."""

    path: Annotated[str, Field(min_length=1)]
    """A folder with videos/, metadata or shards, one shard or a pattern of them, a hub id or URL, or demo:<name>; relative
    to the sweep file."""
    columns: ColumnsConfig = ColumnsConfig()
    quality: Share | None = None
    """How good its clips are, from 0 to 1; for stages and reports."""
    camera: str | None = None
    """How it was filmed; for reports."""
    windows: Annotated[int, Field(ge=1)] = 1
    """Clips taken from each video, side by side."""


class StageConfig(Section):
    """A part of the training with its own mixture."""

    name: Name
    fraction: Annotated[float, Field(gt=0, le=1)]
    """Share of the steps; over all stages they sum to 1."""
    weights: dict[str, Annotated[float, Field(ge=0)]] | None = None
    """Share of the samples by source; equal when left out. Scaled to sum to 1; a source left out gets 0."""

    @field_validator("weights")
    @classmethod
    def _scaled(cls, weights: dict[str, float] | None) -> dict[str, float] | None:
        if weights is None:
            return None
        total = math.fsum(weights.values())
        if total <= 0:
            raise refusal("all weights are 0, so the stage has nothing to train on", "give a source a weight above 0")
        # weights that were scaled before must not move in their last digit when they are read back
        return weights if abs(total - 1) < 1e-9 else {name: w / total for name, w in weights.items()}


class CaptionDropoutConfig(Section):
    """Trains a share of the draws without their caption, which classifier-free guidance needs."""

    type: Literal["caption_dropout"]
    probability: Annotated[float, Field(ge=0, lt=1)]


class DataConfig(Section):
    """The data of every trial of a sweep."""

    sources: Annotated[dict[Name, SourceConfig], Field(min_length=1)]
    stages: Annotated[tuple[StageConfig, ...], Field(strict=False, min_length=1)] | None = None
    """One stage named `all` with equal weights when left out."""
    augmentations: Annotated[tuple[CaptionDropoutConfig, ...], Field(strict=False)] = ()
    filters: Filters = ()
    """Which samples are dropped before training: `standard`, or a list; none when left out."""

    @field_validator("filters")
    @classmethod
    def _each_filter_once(
        cls, filters: tuple[FilterConfig | StandardFilters, ...]
    ) -> tuple[FilterConfig | StandardFilters, ...]:
        found = repeated_types(filters)
        if found:
            raise refusals(found)
        return filters

    @field_validator("stages")
    @classmethod
    def _stages_fit(
        cls, stages: tuple[StageConfig, ...] | None, info: ValidationInfo
    ) -> tuple[StageConfig, ...] | None:
        if stages is None:
            return None
        found = [*_repeated([stage.name for stage in stages]), *_bad_fractions(stages)]
        sources = info.data.get("sources")
        if sources is None:  # wrong itself, which is reported
            return stages
        found += unknown_sources([stage.weights for stage in stages], tuple(sources))
        if found:
            raise refusals(found)
        return tuple(_complete(stage, tuple(sources)) for stage in stages)

    @field_validator("augmentations")
    @classmethod
    def _once_each(cls, augmentations: tuple[CaptionDropoutConfig, ...]) -> tuple[CaptionDropoutConfig, ...]:
        found = _repeated([step.type for step in augmentations])
        if found:
            raise refusals(found)
        return augmentations


def _repeated(names: list[str]) -> list[Finding]:
    again = [i for i, name in enumerate(names) if name in names[:i]]
    return [((str(i),), f"the name {names[i]!r} is there twice", "one name, one entry") for i in again]


def _bad_fractions(stages: tuple[StageConfig, ...]) -> list[Finding]:
    total = math.fsum(stage.fraction for stage in stages)
    if abs(total - 1) < 1e-6:
        return []
    listed = " + ".join(f"{stage.fraction:g}" for stage in stages)
    last = 1 - (total - stages[-1].fraction)
    hint = f"make `fraction` of {stages[-1].name!r} {last:.6g}" if 0 < last <= 1 else "make them sum to 1"
    return [((), f"the fractions are {listed} = {total:.6g}, expected a sum of 1", hint)]


def unknown_sources(weights_by_stage: Iterable[Iterable[str] | None], sources: Sequence[str]) -> list[Finding]:
    """Names in the weights of the stages that no source has; paths are relative to `data.stages`."""
    return [
        ((str(i), "weights", name), "no source has this name", source_hint(name, sources))
        for i, weights in enumerate(weights_by_stage)
        for name in weights or ()
        if name not in sources
    ]


def source_hint(name: str, sources: Sequence[str]) -> str:
    """What may have been meant instead of a source that is not there."""
    near = nearest(name, tuple(sources))
    return f"did you mean {near!r}?" if near else f"the sources are {', '.join(sources)}"


def _complete(stage: StageConfig, sources: tuple[str, ...]) -> StageConfig:
    """The stage with a weight for every source, in the order of the sources."""
    if stage.weights is None:
        return stage
    return stage.model_copy(update={"weights": {name: stage.weights.get(name, 0.0) for name in sources}})
