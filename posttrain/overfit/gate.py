"""The few-sample overfit test: a short training on a handful of samples with the trial's own settings, then checks.

Which checks depends on how the trial is trained: `diffusion.py`, `sft.py`, `rl.py`. Batch size and seed are the gate's
own, so a verdict depends on few settings and is cached by them.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from posttrain import __version__
from posttrain.config import Kind, TrialConfig, kind_of
from posttrain.evaluation.ranks import agree, together, world
from posttrain.overfit.short import OnStep
from posttrain.overfit.verdict import Verdict
from posttrain.paths import cache_dir, write_json_atomic
from posttrain.training.workbench import Workbench


class Examination(Protocol):
    """The gate of one kind of training."""

    def short(self, config: TrialConfig, bench: Any) -> TrialConfig:
        """The trial with the gate's length, batch and seed, and everything else its own."""
        ...

    def run(
        self,
        config: TrialConfig,
        bench: Any,
        samples: Sequence[Any],
        should_stop: Callable[[], bool],
        on_step: OnStep,
    ) -> Verdict:
        """Trains on the samples and measures; the model is left as it was."""
        ...


def examination(kind: Kind) -> Examination:
    """The gate's module for a kind of training; imported when it is needed, for each loads its own trainer."""
    if kind == "diffusion":
        from posttrain.overfit import diffusion

        return diffusion
    if kind == "sft":
        from posttrain.overfit import sft

        return sft
    from posttrain.overfit import rl

    return rl


def gate(
    config: TrialConfig,
    bench: Workbench,
    should_stop: Callable[[], bool] = lambda: False,
    on_step: OnStep = lambda *_: None,
) -> Verdict:
    """The verdict on one configuration, from the cache when everything it depends on is unchanged.

    `on_step` hears each step of the short training: how many are done, and how many there are.

    Raises:
        StopRequested: `should_stop`, which is asked after each step, said so.
    """
    exam = examination(kind_of(config.model.family, config.strategy.type))
    samples = few_samples(config, bench)
    record = cache_dir() / "gate" / f"{_key(exam.short(config, bench), bench, samples)}.json"
    if agree(record.is_file(), bench.device):  # ranks must not differ in whether they train
        return Verdict.from_dict(json.loads(record.read_text(encoding="utf-8")))
    verdict = exam.run(config, bench, samples, should_stop, on_step)
    with together():
        if world()[0] == 0:
            record.parent.mkdir(parents=True, exist_ok=True)
            write_json_atomic(record, verdict.to_dict())
    return verdict


def few_samples(config: TrialConfig, bench: Workbench) -> list[Any]:
    """The gate's samples: in turn from each source, so that every kind of data is seen; different labels first."""
    assert config.overfit is not None
    chosen: list[Any] = []
    queues = [list(samples) for samples in bench.dataset.train.values()]
    while len(chosen) < config.overfit.samples and any(queues):
        for queue in queues:
            if queue and len(chosen) < config.overfit.samples:
                known = {bench.label(sample) for sample in chosen}
                fresh = next((i for i, sample in enumerate(queue) if bench.label(sample) not in known), 0)
                chosen.append(queue.pop(fresh))
    return chosen


# Raised when the gate asks something else, so that verdicts of before are not taken for those of now.
_QUESTIONS = 2


def _key(short: TrialConfig, bench: Workbench, samples: Sequence[Any]) -> str:
    assert short.overfit is not None
    parts: dict[str, Any] = {
        "version": [__version__, _QUESTIONS],
        "model": bench.depends_on(short),
        "samples": [bench.content(sample) for sample in samples],
        "strategy": short.strategy.model_dump(),
        "training": short.training.model_dump(),
        "overfit": short.overfit.model_dump(),
        "device": str(bench.device.type),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]
