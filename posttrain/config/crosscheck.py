"""What only two sections together can tell. Each check reads whole sections and returns findings.

Checks are plain functions over sections, so that the loader can still run those whose sections are right when another
section is wrong: a file's mistakes are shown all at once.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from posttrain.config.augment import TEMPORAL_TYPES
from posttrain.config.base import Finding
from posttrain.config.data import DataConfig
from posttrain.config.evaluation import METRICS_OF, EvaluationConfig
from posttrain.config.model import ModelConfig, latent_frames
from posttrain.config.resources import ResourcesConfig
from posttrain.config.search import SearchConfig
from posttrain.config.strategy import FullConfig, LoraConfig, RlConfig
from posttrain.config.support import kind_of, nearest, refused
from posttrain.config.training import TrainingConfig

Strategy = LoraConfig | FullConfig | RlConfig


def supported(model: ModelConfig, strategy: Strategy) -> list[Finding]:
    reason = refused(model.family, strategy.type)
    return [(("strategy", "type"), f"found {strategy.type!r}", reason)] if reason else []


def batch_divides(training: TrainingConfig, resources: ResourcesConfig) -> list[Finding]:
    """Every worker must run the same whole number of equal micro-batches."""
    batch, workers, micro = training.batch_size, resources.workers, training.micro_batch_size
    if batch % workers:
        near = -(-batch // workers) * workers
        message = f"found {batch}, expected a multiple of resources.workers = {workers}"
        return [(("training", "batch_size"), message, f"take {near}")]
    if micro is not None and batch % (micro * workers):
        share = batch // workers
        message = f"found {micro}, expected a divisor of the {share} samples that each of {workers} worker(s) gets"
        fitting = [str(size) for size in range(1, share + 1) if share % size == 0]
        return [(("training", "micro_batch_size"), message, f"take one of {', '.join(fitting[-8:])}")]
    return []


def answers_are_used_up(training: TrainingConfig, strategy: Strategy) -> list[Finding]:
    """The last batch of answers trains as many steps as the others."""
    again = strategy.iterations if isinstance(strategy, RlConfig) else 1
    if training.steps % again == 0:
        return []
    message = f"found {training.steps}, expected a multiple of strategy.iterations = {again}"
    return [(("training", "steps"), message, f"take {-(-training.steps // again) * again}")]


def conditioning_fits(model: ModelConfig, training: TrainingConfig) -> list[Finding]:
    """At least one latent frame must be left to predict."""
    latent = None if model.frames is None else latent_frames(model.frames)
    return [
        (
            ("training", "conditioning_frames"),
            f"{given} given latent frames leave none of the {latent} (of {model.frames} frames) to predict",
            f"give at most {latent - 1}",
        )
        for given in training.conditioning_frames or ()
        if latent is not None and given >= latent
    ]


def augmentations_act(model: ModelConfig, data: DataConfig, training: TrainingConfig) -> list[Finding]:
    """An augmentation that can change nothing is a mistake; what only the checkpoint can tell is told by `inspect`."""
    found: list[Finding] = []
    types = [step.type for step in data.augmentations]
    for i, name in enumerate(types):
        at = ("data", "augmentations", str(i), "type")
        if name in TEMPORAL_TYPES and model.frames == 1:
            found.append((at, f"{name} changes which frames are read, and model.frames is 1", "delete it"))
        if name == "conditioning_noise" and set(training.conditioning_frames or {1: 1.0}) == {0}:
            message = "is noise on given frames, and training.conditioning_frames gives none"
            found.append((at, message, "delete it, or give frames"))
    return found


def evaluations_happen(training: TrainingConfig, evaluation: EvaluationConfig) -> list[Finding]:
    found: list[Finding] = []
    every = evaluation.eval_every(training.steps)
    if every > training.steps:
        message = f"found {every}, expected at most training.steps = {training.steps}"
        found.append((("evaluation", "every"), message, "leave it out for an eighth of the steps"))
    psnr = evaluation.psnr
    if psnr is not None and psnr.every != "end" and psnr.every % every:
        message = f"found {psnr.every}, expected a multiple of the {every} steps between evaluations"
        found.append((("evaluation", "psnr", "every"), message, f"take {-(-psnr.every // every) * every}"))
    return found


def modules_fit(model: ModelConfig, strategy: Strategy) -> list[Finding]:
    """Only a Transfer model has two networks to choose from."""
    if model.family in (None, "cosmos-transfer") or not isinstance(strategy, FullConfig) or strategy.modules is None:
        return []
    message = f"is for cosmos-transfer, and this is a {model.family} model"
    return [(("strategy", "modules"), message, "delete it: the whole model trains")]


def sharding_fits(strategy: Strategy, resources: ResourcesConfig) -> list[Finding]:
    """Sharded weights pay where all of them train; adapters and generation want whole ones."""
    if resources.parallel == "ddp" or isinstance(strategy, FullConfig):
        return []
    message = f"found {resources.parallel!r}, which is for `type: full`"
    return [(("resources", "parallel"), message, "write `parallel: ddp`, or leave it out")]


def objective_is_measured(
    model: ModelConfig, strategy: Strategy, evaluation: EvaluationConfig, search: SearchConfig
) -> list[Finding]:
    at = ("search", "objective", "metric")
    suite, _, metric = search.objective.metric.rpartition("/")
    if suite not in evaluation.suite_names:
        near = nearest(suite, evaluation.suite_names) or evaluation.suite_names[0]
        listed = ", ".join(evaluation.suite_names)
        return [(at, f"found the suite {suite!r}, expected one of {listed}", f"for example {near}/{metric}")]
    measured = METRICS_OF[kind_of(model.family, strategy.type)]
    if metric not in measured:
        message = f"{metric} is not measured with `type: {strategy.type}` on this model, expected {', '.join(measured)}"
        return [(at, message, f"for example {suite}/{measured[0]}")]
    if metric == "psnr" and evaluation.psnr is None:
        return [(at, "evaluation.psnr is off, so psnr is never measured", "take loss, or switch psnr on")]
    at_end = evaluation.psnr is not None and evaluation.psnr.every == "end"
    if metric == "psnr" and at_end and search.scheduler.type == "asha":
        message = "psnr is measured at the end alone, so asha has nothing to stop losers by"
        return [(at, message, "set evaluation.psnr.every to a number of steps, or search.scheduler.type to none")]
    return []


Check = Callable[..., list[Finding]]
TRIAL_CHECKS: tuple[Check, ...] = (
    supported,
    batch_divides,
    answers_are_used_up,
    conditioning_fits,
    augmentations_act,
    evaluations_happen,
    modules_fit,
    sharding_fits,
)
SWEEP_CHECKS: tuple[Check, ...] = (objective_is_measured,)


def findings(checks: tuple[Check, ...], sections: Mapping[str, Any]) -> list[Finding]:
    """The findings of every check whose sections are all there; a check's parameter names are its sections."""
    found: list[Finding] = []
    for check in checks:
        needed = inspect.signature(check).parameters
        if all(sections.get(name) is not None for name in needed):
            found += check(**{name: sections[name] for name in needed})
    return found
