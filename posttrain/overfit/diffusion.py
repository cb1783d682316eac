"""The gate of diffusion models.

1. *sanity*: something trains, the loss is finite, parameters move;
2. *fit*: the loss at fixed noise falls well below what needs no learning;
3. *closure*: the pipeline's own sampler, which shares no code with the loss, reproduces the samples;
4. *contrast*: the wrong caption fits worse than the right one; where there are controls, the wrong control.
"""

import math
import time
from collections.abc import Callable, Sequence

from posttrain.config import TrialConfig
from posttrain.data import Sample
from posttrain.overfit.diagnosis import Measured, diagnose
from posttrain.overfit.probe import FewSamples, few_sample_conditioning
from posttrain.overfit.short import OnStep, Watch, moved, number, shortened, train_briefly, trainable
from posttrain.overfit.verdict import Check, Verdict
from posttrain.training.train import attached
from posttrain.training.video_bench import VideoBench


def short(config: TrialConfig, bench: VideoBench) -> TrialConfig:
    """The trial with the gate's length, batch and seed, and everything else its own."""
    return shortened(config, conditioning_frames=few_sample_conditioning(bench.family))


def run(
    config: TrialConfig,
    bench: VideoBench,
    samples: Sequence[Sample],
    should_stop: Callable[[], bool] = lambda: False,
    on_step: OnStep = lambda *_: None,
) -> Verdict:
    """Trains on the samples and measures; the model is left as it was."""
    started = time.perf_counter()
    few = FewSamples(bench.family, bench.store, samples)
    watch = Watch(should_stop, bench.device, on_step)
    brief = short(config, bench)
    with attached(brief, bench) as strategy:
        initial = few.fit()
        before = trainable(bench.model)
        steps = train_briefly(brief, bench, strategy, samples, watch)
        measured = _measure(few, steps, tuple(watch.losses), moved(before, bench.model), initial)
    return Verdict.of(diagnose(config, measured), _checks(config, measured), steps, started)


def _measure(few: FewSamples, steps: int, losses: tuple[float, ...], moved: bool, initial: float) -> Measured:
    if not all(map(math.isfinite, losses)):
        return Measured(steps, losses, moved)
    fitted, reference = few.fit(), min(initial, few.scalar_floor())
    if not math.isfinite(fitted):
        return Measured(steps, losses, moved, initial, fitted)
    contrast = few.contrast(num_condition=0)
    closure, note = few.closure(), few.contrast_note()
    return Measured(steps, losses, moved, initial, fitted, reference, closure, contrast, few.guide, note)


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
        checks.append(Check("closure", closes, number(measured.closure), limits.closure, "at most"))
        name, contrast = f"{measured.guide}_contrast", measured.contrast
        checks.append(
            Check(name, True, None, limits.contrast, measured.contrast_note)
            if contrast is None
            else Check(name, contrast >= limits.contrast, number(contrast), limits.contrast, _at_least(measured))
        )
    return checks


def _at_least(measured: Measured) -> str:
    return f"at least; {measured.contrast_note}" if measured.contrast_note else "at least"
