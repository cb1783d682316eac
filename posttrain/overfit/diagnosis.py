"""From the gate's measurements to a cause in words: the most telling failure is named, with what to change."""

import math
from dataclasses import dataclass

from posttrain.config import TrialConfig
from posttrain.overfit.learning_rate import blown_up, rate_cause
from posttrain.overfit.verdict import Diagnosis

_MORE_GUIDED = {"caption": "target cross-attention", "control": "raise its weight in model.controls"}


@dataclass(frozen=True)
class Measured:
    """The gate's numbers; a later one is None when an earlier one already settles the verdict.

    `guide` is what `contrast` exchanged between the clips: the caption, or the control where there is one; a note says
    where it could not be judged on all of them.
    """

    steps: int
    losses: tuple[float, ...]  # of the training: the first step's, then means over a few steps each
    moved: bool
    initial: float | None = None
    fitted: float | None = None
    reference: float | None = None
    closure: float | None = None
    contrast: float | None = None
    guide: str = "caption"
    contrast_note: str = ""

    @property
    def finite(self) -> bool:
        """Whether training and measurements stayed numbers."""
        return all(map(math.isfinite, self.losses)) and (self.fitted is None or math.isfinite(self.fitted))

    @property
    def ratio(self) -> float | None:
        """The fit after training over the smallest fit that needs none."""
        if self.fitted is None or self.reference is None:
            return None
        return self.fitted / self.reference


def diagnose(config: TrialConfig, measured: Measured) -> Diagnosis | None:
    """The cause of a failure, or None when every check passes."""
    assert config.overfit is not None
    if not measured.finite:
        return blown_up(config.training.learning_rate, measured.losses[-1], measured.steps)
    if not measured.moved:
        return Diagnosis(
            "frozen",
            "no trainable parameter moved",
            f"raise training.learning_rate above {config.training.learning_rate:g} and look at training.warmup",
        )
    if measured.ratio is not None and not measured.ratio <= config.overfit.probe:
        return _did_not_fit(config, measured)
    if measured.closure is not None and not measured.closure <= config.overfit.closure:
        return _did_not_close(config, measured)
    if measured.contrast is not None and not measured.contrast >= config.overfit.contrast:
        return Diagnosis(
            f"{measured.guide}s_ignored",
            f"another clip's {measured.guide} fits as well as the right one (contrast {measured.contrast:.2f}, at "
            f"least {config.overfit.contrast:g})",
            f"check that {measured.guide}s belong to their clips and differ; {_MORE_GUIDED[measured.guide]}, or raise "
            "overfit.steps",
        )
    return None


def _did_not_close(config: TrialConfig, measured: Measured) -> Diagnosis:
    assert config.overfit is not None
    if measured.ratio is not None and measured.ratio > config.overfit.probe / 2:
        return _did_not_fit(config, measured)  # a loss that is only just fitted explains it
    return Diagnosis(
        "closure",
        f"the loss is fitted, but the pipeline's sampler does not reproduce the clips (relative error "
        f"{measured.closure:.2f}, at most {config.overfit.closure:g})",
        "loss and sampler disagree: check fps, frames and the checkpoint's scheduler, or raise overfit.steps",
    )


def _did_not_fit(config: TrialConfig, measured: Measured) -> Diagnosis:
    assert measured.initial is not None
    assert measured.fitted is not None
    assert config.overfit is not None
    rate, steps = config.training.learning_rate, measured.steps
    subject = f"the fit on {config.overfit.samples} samples"
    cause = rate_cause(rate, measured.losses, measured.initial, measured.fitted, subject=subject, steps=steps)
    if cause is not None:
        return cause
    assert measured.ratio is not None
    fits = measured.ratio <= config.overfit.probe
    fell_short = (
        f"sampler's error {measured.closure:.3g}, at most {config.overfit.closure:g}"
        if fits
        else f"ratio {measured.ratio:.3g}, at most {config.overfit.probe:g}"
    )
    return Diagnosis(
        "underfits",
        f"{config.overfit.samples} samples are not learned by heart in {steps} steps ({fell_short})",
        f"raise training.learning_rate ({rate:.2g}), strategy.rank or overfit.steps",
    )
