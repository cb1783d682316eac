"""Where samples come from, and in which shares they are seen."""

import math
from collections.abc import Iterable, Sequence
from typing import Annotated

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from posttrain.config.augment import AugmentationConfig
from posttrain.config.base import Finding, Location, Name, Section, Share, refusal, refusals
from posttrain.config.filters import FilterConfig, Filters, StandardFilters, repeated_types
from posttrain.config.groups import texts_for_keys
from posttrain.config.support import nearest_or_all
from posttrain.config.where import WhereText


class ColumnsConfig(Section):
    """Which columns of metadata files, shards and caption files mean what, where they have names of their own."""

    caption: Annotated[str, Field(min_length=1)] | None = None
    """The caption; the first of caption, text and prompt when left out. In a tar also an ending, such as txt."""
    video: Annotated[str, Field(min_length=1)] | None = None
    """The clip: the file's name in a metadata file (file_name when left out), the bytes in a Parquet file, the ending
    in a tar."""


class SourceConfig(Section):
    """A named set of clips or rows.

    What it says of quality, relevance, camera, licence and synthetic is metadata of each of its samples; a sample's
    own value goes before it.
    """

    path: Location
    """A folder with videos/, metadata or shards, one shard or a pattern of shards, a hub id or URL, or demo:<name>;
    relative to the sweep file."""
    columns: ColumnsConfig = ColumnsConfig()
    quality: Share | None = None
    """How good its clips are, from 0 to 1; for stages and reports."""
    relevance: Share | None = None
    """How near its clips are to what the model is to do, from 0 to 1; for stages and reports."""
    camera: str | None = None
    """How it was filmed; for stages and reports."""
    licence: str | None = None
    """What it may be used for; for stages and reports."""
    synthetic: bool | None = None
    """Whether a program made its clips. Where one source says so, those that say nothing are not synthetic."""
    max_share: Annotated[float, Field(gt=0, le=1)] | None = None
    """The largest share of all draws of a training that may be its; a mixture that asks for more is an error."""
    max_epochs: Annotated[float, Field(gt=0)] | None = None
    """How often a training may draw each of its samples; a mixture that asks for more is an error."""
    windows: Annotated[int, Field(ge=1)] = 1
    """Clips taken from each video, side by side."""


class StageConfig(Section):
    """A part of the training with its own mixture of its own choice of samples."""

    name: Name
    fraction: Annotated[float, Field(gt=0, le=1)]
    """Share of the steps; over all stages they sum to 1."""
    by: Annotated[str, Field(min_length=1)] | None = None
    """The metadata column by whose values the weights go; by source when left out. Samples without a value are the
    group `missing`."""
    weights: Annotated[dict[str, Annotated[float, Field(ge=0)]], BeforeValidator(texts_for_keys)] | None = None
    """Share of the samples by source, or by value of `by`; equal over those that have samples when left out. Scaled to
    sum to 1; what is left out gets 0."""
    where: WhereText | None = None
    """The samples that the stage draws, by their metadata: `quality >= 0.8 and camera == 'ego'`."""
    min_quality: Share | None = None
    """The stage draws samples whose `quality` is at least this; those without a quality are not drawn."""
    learning_rate_factor: Annotated[float, Field(gt=0)] = 1.0
    """What the learning rate of the schedule is multiplied by in this stage."""

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


class DataConfig(Section):
    """The data of every trial of a sweep."""

    sources: Annotated[dict[Name, SourceConfig], Field(min_length=1)]
    """Name -> where its samples lie, and what is known of them."""
    stages: Annotated[tuple[StageConfig, ...], Field(strict=False, min_length=1)] | None = None
    """One stage named `all` with equal weights when left out."""
    augmentations: Annotated[tuple[AugmentationConfig, ...], Field(strict=False)] = ()
    """What a draw may read instead of the plain sample; each type once."""
    augmentation_variants: Annotated[int, Field(ge=1, le=64)] = 4
    """Variants of each sample in each stage that augmentations of pixels are drawn from: encodings on disk."""
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

    @field_validator("sources")
    @classmethod
    def _real_where_others_are_synthetic(cls, sources: dict[str, SourceConfig]) -> dict[str, SourceConfig]:
        if all(source.synthetic is None for source in sources.values()):
            return sources
        return {
            name: source if source.synthetic is not None else source.model_copy(update={"synthetic": False})
            for name, source in sources.items()
        }

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
        found += unknown_sources([stage.weights if stage.by is None else None for stage in stages], tuple(sources))
        if found:
            raise refusals(found)
        return tuple(_complete(stage, tuple(sources)) for stage in stages)

    @field_validator("augmentations")
    @classmethod
    def _once_each(cls, augmentations: tuple[AugmentationConfig, ...]) -> tuple[AugmentationConfig, ...]:
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
    return nearest_or_all(name, sources, "sources")


def _complete(stage: StageConfig, sources: tuple[str, ...]) -> StageConfig:
    """The stage with a weight for every source, in the order of the sources; groups are known with the data alone."""
    if stage.weights is None or stage.by is not None:
        return stage
    return stage.model_copy(update={"weights": {name: stage.weights.get(name, 0.0) for name in sources}})
