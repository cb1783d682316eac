"""What a sweep would do, reckoned before anything runs: the document of `posttrain plan`.

Sizes are arithmetic on the headers of the checkpoint's files. Time, and memory with everything that is in it, are known
only where trials of the model have run on such hardware before; see `posttrain.sweep.history`.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, median
from typing import Any

from posttrain.config import FullConfig, LoraConfig, SweepConfig, kind_of
from posttrain.config.evaluation import METRICS_OF
from posttrain.config.recommend import Facts, advice
from posttrain.config.space import Choice, RandInt
from posttrain.data import Dataset, Row, Sample, column_facts, count_kinds, plan_mixture
from posttrain.models.sizes import Sizes
from posttrain.sweep.history import PastTrial

# AdamW with float32 master weights: weight, gradient and two moments, four bytes each.
_BYTES_TRAINED = 16
_BYTES_SAVED = 12  # weight and two moments
_BYTES = {"bf16": 2, "fp32": 4}


@dataclass(frozen=True)
class Source:
    """Where a measured number is from: how many trials, of which runs."""

    trials: int
    runs: tuple[str, ...]

    @classmethod
    def of(cls, past: Sequence[PastTrial]) -> "Source":
        return cls(len(past), tuple(dict.fromkeys(trial.run for trial in past)))


@dataclass(frozen=True)
class Measured:
    """What earlier trials took: medians of seconds, and the most memory.

    Attributes:
        per_sample: seconds of training per drawn sample.
        per_evaluation: seconds of all suites at one step.
        per_gate_sample: seconds of the gate per sample of its short training, its own measurements included; 0 where no
            trial was gated.
        peak_memory_bytes: None where no trial had micro-batches as large.
    """

    per_sample: float
    per_evaluation: float
    per_gate_sample: float
    source: Source
    peak_memory_bytes: int | None = None
    memory_source: Source | None = None


def forecast(
    config: SweepConfig, dataset: Dataset[Any], sizes: Sizes | None, slots: int, measured: Measured | None
) -> dict[str, Any]:
    """The document; what cannot be known yet is null. `sizes` is None for a checkpoint that is not on this machine."""
    facts = facts_of(config, dataset, sizes)
    return {
        "trials": config.search.trials,
        "slots": slots,
        "samples": {name: _samples(scan) for name, scan in dataset.scans.items()},
        "metadata": column_facts([sample for scan in dataset.scans.values() for sample in scan.kept]),
        "stages": _stages(config, dataset),
        "estimate": _estimate(config, sizes, slots, measured),
        "advice": advice(config, facts),
    }


def facts_of(config: SweepConfig, dataset: Dataset[Any], sizes: Sizes | None) -> Facts:
    """What the advice is drawn from."""
    samples: list[Sample | Row] = [sample for samples in dataset.train.values() for sample in samples]
    rated = [float(sample.metadata["quality"]) for sample in samples if _is_number(sample.metadata.get("quality"))]
    reasoning = [isinstance(sample, Row) and bool(sample.choices or sample.asks_for_tags) for sample in samples]
    return Facts(
        samples=len(samples),
        quality=sum(rated) / len(rated) if rated else None,
        reasoning=sum(reasoning) / max(1, len(reasoning)),
        parameters=None if sizes is None else sizes.trained,
    )


def _samples(scan: Any) -> dict[str, Any]:
    return {"found": scan.found, "kept": len(scan.kept), "dropped": count_kinds(scan.dropped)}


def _stages(config: SweepConfig, dataset: Dataset[Any]) -> list[dict[str, Any]]:
    """The stages of the file's own configuration: how often each source, and each group, is drawn.

    `epochs` are draws over the samples that the stage may draw of a source, `eligible` the numbers of these; a source
    that it draws nothing of has neither.
    """
    batch, steps = config.training.batch_size, config.training.steps
    num_batches = config.num_batches(steps)
    mixture = plan_mixture(config.data, dataset.train, num_batches, batch)
    given = {stage.name: stage for stage in config.data.stages or ()}
    shown = []
    for stage in mixture.stages:
        expected, eligible = mixture.expected(stage), mixture.eligible(stage)
        own = given.get(stage.name)
        shown.append(
            {
                "name": stage.name,
                "steps": stage.num_draws // batch * steps // num_batches,
                "counts": {name: round(expected.get(name, 0.0)) for name in config.data.sources},
                "epochs": {name: expected[name] / eligible[name] for name in expected},
                "eligible": eligible,
                "by": None if own is None else own.by,
                "groups": {stage.groups[key]: round(w * stage.num_draws) for key, w in stage.normalised.items()},
                "where": None if own is None else own.where,
                "min_quality": None if own is None else own.min_quality,
                "learning_rate_factor": stage.learning_rate_factor,
            }
        )
    return shown


def _estimate(config: SweepConfig, sizes: Sizes | None, slots: int, measured: Measured | None) -> dict[str, Any]:
    """What is unknown is null; `source` says what was measured, and in which trials."""
    estimate = {**_time(config, slots, measured), **_bytes(config, sizes), "source": None}
    if measured is None:
        return estimate
    source = {"seconds": asdict(measured.source)}
    if measured.peak_memory_bytes is not None and measured.memory_source is not None:
        estimate["peak_memory_bytes"] = measured.peak_memory_bytes
        source["peak_memory_bytes"] = asdict(measured.memory_source)
    return {**estimate, "source": source}


def _time(config: SweepConfig, slots: int, measured: Measured | None) -> dict[str, float | None]:
    """An upper bound: no trial is stopped early, or gated."""
    if measured is None:
        return {"seconds": None, "gpu_hours": None}
    training, gate = config.training, config.overfit
    evaluations = -(-training.steps // config.evaluation.eval_every(training.steps))
    each = training.steps * mean_batch_size(config) * measured.per_sample + evaluations * measured.per_evaluation
    if gate is not None:
        each += gate.steps * gate.batch_size * measured.per_gate_sample
    total = config.search.trials * each
    gpus = config.resources.workers * (config.resources.gpus_per_worker or 0)
    return {"seconds": total / slots, "gpu_hours": total * gpus / 3600}


def mean_batch_size(config: SweepConfig) -> float:
    """The mean over the searched batch sizes, or the file's own."""
    dimension = config.search_space.get("training.batch_size")
    if isinstance(dimension, Choice):
        return fmean(float(value) for value in dimension.choices if _is_number(value))
    if isinstance(dimension, RandInt):
        return (dimension.low + dimension.high) / 2
    return float(config.training.batch_size)


def _largest_micro_batch(config: SweepConfig) -> int:
    """The samples that a worker holds at once in the largest batch."""
    if config.training.micro_batch_size is not None:
        return config.training.micro_batch_size
    dimension = config.search_space.get("training.batch_size")
    largest = config.training.batch_size
    if isinstance(dimension, Choice):
        largest = max(int(value) for value in dimension.choices if _is_number(value))
    if isinstance(dimension, RandInt):
        largest = dimension.high
    return -(-largest // config.resources.workers)


def _bytes(config: SweepConfig, sizes: Sizes | None) -> dict[str, int | None]:
    """Checkpoints on disk when all trials end, and the least that a worker holds; activations come on top."""
    if sizes is None:
        return {"disk_bytes": None, "peak_memory_bytes": None}
    strategy, resources = config.strategy, config.resources
    trained = sizes.adapters if isinstance(strategy, LoraConfig) else sizes.trained
    average = 4 * trained if isinstance(strategy, FullConfig) and strategy.ema else 0
    metrics = METRICS_OF[kind_of(config.model.family, strategy.type)]
    # the last checkpoint, and the best of every metric of every suite at most
    kept = 1 + len(metrics) * len(config.evaluation.suite_names)
    disk = config.search.trials * kept * (_BYTES_SAVED * trained + average)
    share = resources.workers if resources.parallel == "fsdp" else 1
    memory = sizes.base * _BYTES[config.training.precision] + (_BYTES_TRAINED * trained + average) // share
    return {"disk_bytes": disk, "peak_memory_bytes": memory}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def measured_by(past: Sequence[PastTrial], config: SweepConfig) -> Measured | None:
    """Medians over earlier trials, in seconds of the clips that `config` reads; None where there are none."""
    if not past:
        return None
    gates = [trial.scale * trial.gate_s / trial.gate_samples for trial in past if trial.gate_s and trial.gate_samples]
    memory = _alike_in_memory(past, _largest_micro_batch(config))
    return Measured(
        per_sample=median(trial.scale * trial.training_s / (trial.steps * trial.batch_size) for trial in past),
        per_evaluation=median(trial.scale * trial.evaluation_s / trial.num_evaluations for trial in past),
        per_gate_sample=median(gates) if gates else 0.0,
        source=Source.of(past),
        peak_memory_bytes=max((trial.peak_memory_bytes or 0 for trial in memory), default=None),
        memory_source=Source.of(memory) if memory else None,
    )


def _alike_in_memory(past: Sequence[PastTrial], micro_batch: int) -> list[PastTrial]:
    """The trials of the same clips whose micro-batches come nearest to `micro_batch` from above."""
    enough = [t for t in past if t.scale == 1.0 and t.peak_memory_bytes and t.micro_batch_size >= micro_batch]
    nearest = min((trial.micro_batch_size for trial in enough), default=0)
    return [trial for trial in enough if trial.micro_batch_size == nearest]
