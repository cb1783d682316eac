"""The few-sample overfit test: a short training on a handful of samples with the trial's own settings, then checks.

1. *sanity*: something trains, the loss is finite, parameters move;
2. *fit*: the loss at fixed noise falls well below what needs no learning;
3. *closure*: the pipeline's own sampler, which shares no code with the loss, reproduces the samples;
4. *contrast*: the wrong caption fits worse than the right one.

Batch size and seed are the gate's own, so a verdict depends on few settings and is cached by them.
"""

import hashlib
import json
import math
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from posttrain import __version__
from posttrain.config import TrialConfig
from posttrain.data import Sample, Stage
from posttrain.data.controls import identity
from posttrain.evaluation.ranks import agree, together, world
from posttrain.models.base import VideoFamily
from posttrain.overfit.diagnosis import Measured, diagnose
from posttrain.overfit.probe import FewSamples, few_sample_conditioning
from posttrain.overfit.verdict import Check, Verdict
from posttrain.paths import TrialPaths, cache_dir, write_json_atomic
from posttrain.training.observer import StopRequested
from posttrain.training.plan import PlanDataset
from posttrain.training.train import MAX_LOG_EVERY, attached, fit
from posttrain.training.workbench import Workbench

SEED = 0


def gate(config: TrialConfig, bench: Workbench, should_stop: Callable[[], bool] = lambda: False) -> Verdict:
    """The verdict on one configuration, from the cache when everything it depends on is unchanged.

    Raises:
        StopRequested: `should_stop`, which is asked after each step, said so.
    """
    samples = few_samples(config, bench)
    record = cache_dir() / "gate" / f"{_key(config, bench, samples)}.json"
    if agree(record.is_file(), bench.family.device):  # ranks must not differ in whether they train
        return Verdict.from_dict(json.loads(record.read_text(encoding="utf-8")))
    verdict = run(config, bench, samples, should_stop)
    with together():
        if world()[0] == 0:
            record.parent.mkdir(parents=True, exist_ok=True)
            write_json_atomic(record, verdict.to_dict())
    return verdict


def few_samples(config: TrialConfig, bench: Workbench) -> list[Sample]:
    """The gate's samples: in turn from each source, so that every kind of data is seen; different captions first."""
    assert config.overfit is not None
    chosen: list[Sample] = []
    queues = [list(samples) for samples in bench.dataset.train.values()]
    while len(chosen) < config.overfit.samples and any(queues):
        for queue in queues:
            if queue and len(chosen) < config.overfit.samples:
                known = {sample.caption for sample in chosen}
                fresh = next((i for i, sample in enumerate(queue) if sample.caption not in known), 0)
                chosen.append(queue.pop(fresh))
    return chosen


def run(
    config: TrialConfig, bench: Workbench, samples: Sequence[Sample], should_stop: Callable[[], bool] = lambda: False
) -> Verdict:
    """Trains on the samples and measures; the transformer is left as it was."""
    started = time.perf_counter()
    short = _short(config, bench.family)
    few = FewSamples(bench.family, bench.store, samples)
    watch = _Watch(should_stop, bench.family.device)
    with attached(short, bench) as strategy, tempfile.TemporaryDirectory() as scratch:
        initial = few.fit()
        before = _trainable(bench.family.transformer)
        data = PlanDataset(
            short.training,
            [Stage("gate", short.training.steps * short.training.batch_size, {"few": 1.0})],
            {"few": samples},
            bench.store,
        )
        steps = fit(short, bench, strategy, data, TrialPaths(Path(scratch)), watch, checkpoints=None)
        moved = any(not torch.equal(a, b) for a, b in zip(before, _trainable(bench.family.transformer), strict=True))
        measured = _measure(few, steps, tuple(watch.losses), moved, initial)
    diagnosis = diagnose(config, measured)
    return Verdict(
        passed=diagnosis is None,
        diagnosis=diagnosis,
        checks=_checks(config, measured),
        steps=steps,
        seconds=time.perf_counter() - started,
    )


def _measure(few: FewSamples, steps: int, losses: tuple[float, ...], moved: bool, initial: float) -> Measured:
    if not all(map(math.isfinite, losses)):
        return Measured(steps, losses, moved)
    fitted, reference = few.fit(), min(initial, few.scalar_floor())
    if not math.isfinite(fitted):
        return Measured(steps, losses, moved, initial, fitted)
    return Measured(steps, losses, moved, initial, fitted, reference, few.closure(), few.contrast(num_condition=0))


def _checks(config: TrialConfig, measured: Measured) -> list[Check]:
    limits = config.overfit
    assert limits is not None
    checks = [
        Check("finite_loss", measured.finite, measured.losses[-1] if measured.finite else None, None),
        Check("parameters_moved", measured.moved, None, None),
    ]
    if measured.ratio is not None and measured.closure is not None:
        fits = measured.ratio <= limits.probe
        checks.append(Check("fit", fits, measured.ratio, limits.probe, "at most"))
        closes = measured.closure <= limits.closure
        checks.append(Check("closure", closes, _number(measured.closure), limits.closure, "at most"))
        contrast = measured.contrast
        checks.append(
            Check("caption_contrast", True, None, limits.contrast, "skipped: all captions are equal")
            if contrast is None
            else Check("caption_contrast", contrast >= limits.contrast, _number(contrast), limits.contrast, "at least")
        )
    return checks


def _number(value: float) -> float | None:
    """What JSON can hold: a sampler may run off to NaN on a transformer whose loss is finite."""
    return value if math.isfinite(value) else None


def _short(config: TrialConfig, family: VideoFamily) -> TrialConfig:
    """The trial with the gate's length, batch and seed, and everything else its own."""
    assert config.overfit is not None
    num_workers = world()[1]
    share = -(-config.overfit.batch_size // num_workers)  # rounded up to what the workers can split evenly
    micro = math.gcd(share, config.training.micro_batch_size or share)
    training = config.training.model_copy(
        update={
            "steps": config.overfit.steps,
            "batch_size": share * num_workers,
            "micro_batch_size": micro,
            "seed": SEED,
            "conditioning_frames": few_sample_conditioning(family),
        }
    )
    # losses are means over the same steps whatever the trial's evaluation, which is not part of the verdict's key
    evaluation = config.evaluation.model_copy(update={"every": MAX_LOG_EVERY})
    return config.model_copy(update={"training": training, "evaluation": evaluation})


def _key(config: TrialConfig, bench: Workbench, samples: Sequence[Sample]) -> str:
    assert config.overfit is not None
    parts: dict[str, Any] = {
        "version": __version__,
        "model": [bench.family.weights_key, bench.family.latents_key, bench.family.prompts_key],
        "samples": [(sample.content_hash, sample.start_s, sample.caption) for sample in samples],
        "controls": [[identity(name, sample) for name in bench.family.control_names] for sample in samples],
        "control_weights": config.model.controls,
        "strategy": config.strategy.model_dump(),
        "training": _short(config, bench.family).training.model_dump(),
        "overfit": config.overfit.model_dump(),
        "device": str(bench.family.device.type),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]


def _trainable(transformer: torch.nn.Module) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in transformer.parameters() if parameter.requires_grad]


class _Watch(TrainerCallback):  # type: ignore[misc]  # transformers ships no strict types
    """Remembers the losses, ends the training at the first one that is not finite, and breaks it off when asked."""

    def __init__(self, should_stop: Callable[[], bool], device: torch.device) -> None:
        self.losses: list[float] = []
        self._should_stop = should_stop
        self._device = device

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        if agree(self._should_stop(), self._device):
            raise StopRequested
        return control

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> TrainerControl:
        if logs and "loss" in logs:
            self.losses.append(float(logs["loss"]))
            control.should_training_stop = control.should_training_stop or not math.isfinite(self.losses[-1])
        return control
