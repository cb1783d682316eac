"""What a sweep would do, reckoned before anything runs: the document of `posttrain plan`.

Sizes are arithmetic on the headers of the checkpoint's files. Time is told only where trials of this sweep have been
measured already; nothing else can know it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from posttrain.config import FullConfig, LoraConfig, SweepConfig, kind_of
from posttrain.config.evaluation import METRICS_OF
from posttrain.config.recommend import Facts, advice
from posttrain.data import Dataset, Row, Sample, column_facts, count_kinds, plan_mixture
from posttrain.models.sizes import Sizes

# AdamW with float32 master weights: weight, gradient and two moments, four bytes each.
_BYTES_TRAINED = 16
_BYTES_SAVED = 12  # weight and two moments
_BYTES = {"bf16": 2, "fp32": 4}


@dataclass(frozen=True)
class Measured:
    """Earlier trials of this sweep: the median seconds of an optimizer step, evaluations included."""

    seconds_per_step: float


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
        "estimate": {**_time(config, slots, measured), **_bytes(config, sizes)},
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


def _time(config: SweepConfig, slots: int, measured: Measured | None) -> dict[str, float | None]:
    """An upper bound: no trial is stopped early."""
    if measured is None:
        return {"seconds": None, "gpu_hours": None}
    total = config.search.trials * config.training.steps * measured.seconds_per_step
    gpus = config.resources.workers * (config.resources.gpus_per_worker or 0)
    return {"seconds": total / slots, "gpu_hours": total * gpus / 3600}


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


def measured_by(results: Iterable[Mapping[str, Any]]) -> Measured | None:
    """The median over ended trials, from their `result.json`."""
    times = sorted(
        (result["seconds"]["training"] + result["seconds"]["evaluation"]) / result["steps"]
        for result in results
        if result.get("steps") and {"training", "evaluation"} <= result["seconds"].keys()
    )
    return Measured(times[len(times) // 2]) if times else None
