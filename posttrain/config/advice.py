"""What a file may say but probably should not: the warnings of `posttrain check`."""

from collections.abc import Iterator
from typing import Any

from posttrain.config.augment import PIXEL_TYPES, REVERSE_WARNING
from posttrain.config.base import Finding
from posttrain.config.default_space import LEARNING_RATE, decade
from posttrain.config.default_values import TINY_PREFIX
from posttrain.config.drawn import value_at
from posttrain.config.own import out_of_reach
from posttrain.config.space import LogUniform, Simplex, Uniform
from posttrain.config.strategy import LoraConfig
from posttrain.config.support import kind_of
from posttrain.config.trial import SingleConfig, SweepConfig

# What published recipes use, by kind and strategy.
_LEARNING_RATES: dict[tuple[str, str], tuple[float, float]] = {
    ("diffusion", "lora"): (1.5e-5, 2e-3),
    ("diffusion", "full"): (2e-5, 2e-4),
    ("sft", "full"): (2e-7, 2e-5),
    ("rl", "rl"): (1e-6, 2e-6),
}
# How far beyond them a rate may lie before it is remarked on.
_TOLERANCE = 3.0


def warnings_of(config: SweepConfig | SingleConfig, document: dict[str, Any]) -> list[Finding]:
    """The warnings about a valid file; `document` is the file as it was written."""
    return [
        *_gate_is_off(config),
        *_learning_rates(config),
        *_alpha_stays(config),
        *_few_rungs(config),
        *_weights_were_scaled(document),
        *_sources_never_seen(config),
        *_never_active(config),
        *(out_of_reach(config) if isinstance(config, SweepConfig) else ()),
        *_reverse_breaks_physics(config),
        *_variants_unread(config, document),
    ]


def _gate_is_off(config: SweepConfig | SingleConfig) -> Iterator[Finding]:
    if config.overfit is None:
        yield ("overfit",), "the gate is off: nothing shows that a configuration can learn", "delete `overfit: off`"


def _learning_rates(config: SweepConfig | SingleConfig) -> Iterator[Finding]:
    if config.model.checkpoint.startswith(TINY_PREFIX):
        return  # the recipes are for models of billions of parameters
    at: tuple[str, ...] = ("training", "learning_rate")
    rates = [config.training.learning_rate]
    dimension = config.search_space.get(LEARNING_RATE)
    if isinstance(dimension, (Uniform, LogUniform)) and (dimension.low, dimension.high) != decade(rates[0]):
        at, rates = ("search_space", "training.learning_rate"), [dimension.low, dimension.high]
    kind = config.strategy.type
    low, high = _LEARNING_RATES[kind_of(config.model.family, kind), kind]
    outside = [rate for rate in rates if not low / _TOLERANCE <= rate <= high * _TOLERANCE]
    if outside:
        shown = ", ".join(f"{rate:g}" for rate in outside)
        yield (
            at,
            f"{shown} lies outside what published `{kind}` recipes use ({low:g} to {high:g})",
            "check the exponent",
        )


def _alpha_stays(config: SweepConfig | SingleConfig) -> Iterator[Finding]:
    if not isinstance(config.strategy, LoraConfig):
        return
    rank_searched, alpha_searched = (f"strategy.{name}" in config.search_space for name in ("rank", "alpha"))
    if rank_searched and not alpha_searched and config.strategy.alpha is not None:
        message = f"stays {config.strategy.alpha:g} while the rank is searched, so the adapter's scale changes with it"
        yield ("strategy", "alpha"), message, "leave alpha out: it then equals the rank"


def _few_rungs(config: SweepConfig | SingleConfig) -> Iterator[Finding]:
    steps = config.training.steps
    every = config.evaluation.eval_every(steps)
    if config.search.scheduler.type == "asha" and 2 * every > steps:
        message = f"every {every} of {steps} steps is one evaluation per trial, so asha can stop nothing early"
        yield ("evaluation", "every"), message, "evaluate more often, or set search.scheduler.type to none"
    if "training.steps" in config.search_space:
        message = "trials of different length are compared at equal steps of different schedules"
        yield ("search_space", "training.steps"), message, "search with one length; the best step of each trial is kept"


def _weights_were_scaled(document: dict[str, Any]) -> Iterator[Finding]:
    for i, stage in enumerate(document["data"].get("stages") or ()):
        total = sum((stage.get("weights") or {"": 1.0}).values())
        if abs(total - 1) > 1e-6:
            message = f"the weights sum to {total:g} and are scaled to sum to 1"
            yield ("data", "stages", str(i), "weights"), message, ""


def _sources_never_seen(config: SweepConfig | SingleConfig) -> Iterator[Finding]:
    stages = config.data.stages
    if stages is None or any(stage.weights is None or stage.by is not None for stage in stages):
        return
    seen = {name for stage in stages for name, weight in (stage.weights or {}).items() if weight > 0}
    for dimension in config.search_space.values():
        seen |= set(dimension.names) if isinstance(dimension, Simplex) else set()
    for name in config.data.sources:
        if name not in seen:
            yield ("data", "sources", name), "has weight 0 in every stage, so no trial trains on it", ""


def _never_active(config: SweepConfig | SingleConfig) -> Iterator[Finding]:
    for name, dimension in config.search_space.items():
        fixed = [path for path in dimension.when or {} if path not in config.search_space]
        others = {path: wanted for path, wanted in (dimension.when or {}).items() if path in fixed}
        if not dimension.model_copy(update={"when": others}).active({p: value_at(config, p) for p in fixed}):
            yield ("search_space", name), "is never searched: its `when` does not hold in this file", ""


def _reverse_breaks_physics(config: SweepConfig | SingleConfig) -> Iterator[Finding]:
    for i, step in enumerate(config.data.augmentations):
        if step.type == "reverse":
            yield ("data", "augmentations", str(i), "type"), REVERSE_WARNING, "delete it unless time has no direction"


def _variants_unread(config: SweepConfig | SingleConfig, document: dict[str, Any]) -> Iterator[Finding]:
    if "augmentation_variants" in document["data"] and not any(
        step.type in PIXEL_TYPES for step in config.data.augmentations
    ):
        message = "has no effect: no augmentation of this file changes pixels"
        yield ("data", "augmentation_variants"), message, f"delete it, or add one of {', '.join(PIXEL_TYPES)}"
