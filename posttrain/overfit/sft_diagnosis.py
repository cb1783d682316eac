"""From the measurements of the gate of supervised training to a cause in words, with what to change."""

import math
from dataclasses import dataclass

from posttrain.config import TrialConfig
from posttrain.overfit.learning_rate import blown_up, rate_cause
from posttrain.overfit.verdict import Diagnosis


@dataclass(frozen=True)
class Measured:
    """The gate's numbers; a later one is None when an earlier one already settles the verdict.

    Attributes:
        supervised: the share of a batch's tokens that the training's loss is over.
        answers: the share of tokens that are answers, which it should be.
        gain: how much the loss rises without pixels; None too where no question has two different answers.
    """

    steps: int
    losses: tuple[float, ...]  # of the training: the first step's, then means over a few steps each
    moved: bool
    supervised: float
    answers: float
    initial: float
    fitted: float | None = None
    token_accuracy: float | None = None
    gain: float | None = None

    @property
    def finite(self) -> bool:
        """Whether training and measurements stayed numbers."""
        return all(map(math.isfinite, self.losses)) and (self.fitted is None or math.isfinite(self.fitted))

    @property
    def supervises_answers(self) -> bool:
        """Whether the loss is over the answers, and over nothing else."""
        return math.isclose(self.supervised, self.answers, rel_tol=1e-6)


def diagnose(config: TrialConfig, measured: Measured) -> Diagnosis | None:
    """The cause of a failure, or None when every check passes."""
    limits = config.overfit
    assert limits is not None
    if not measured.supervises_answers:
        return _supervises_others(measured)
    if not measured.finite:
        return blown_up(config.training.learning_rate, measured.losses[-1], measured.steps)
    if not measured.moved:
        return Diagnosis(
            "frozen",
            "no trainable parameter moved",
            f"raise training.learning_rate above {config.training.learning_rate:g}, and look at training.warmup and "
            "strategy.freeze",
        )
    assert measured.fitted is not None
    if not measured.fitted <= limits.answer_loss or measured.token_accuracy != 1.0:
        return _did_not_fit(config, measured)
    if measured.gain is not None and not measured.gain >= limits.image_gain:
        return Diagnosis(
            "picture_ignored",
            f"the answers are as likely without the picture (the loss rises by {measured.gain:.3g}, at least "
            f"{limits.image_gain:g})",
            "check that pictures belong to their questions, and that strategy.freeze leaves the model a way to see",
        )
    return None


def _supervises_others(measured: Measured) -> Diagnosis:
    if measured.supervised == 0:
        return Diagnosis(
            "nothing_supervised",
            "no token is in the loss: every label is masked",
            "use the chat template that the checkpoint is published with",
        )
    return Diagnosis(
        "prompt_supervised",
        f"the loss is over {measured.supervised:.0%} of the tokens, but {measured.answers:.0%} are answers",
        "use the chat template that the checkpoint is published with",
    )


def _did_not_fit(config: TrialConfig, measured: Measured) -> Diagnosis:
    limits = config.overfit
    assert limits is not None
    assert measured.fitted is not None
    rate, steps = config.training.learning_rate, measured.steps
    cause = rate_cause(
        rate,
        measured.losses,
        measured.initial,
        measured.fitted,
        subject=f"the loss on {limits.samples} answers",
        steps=steps,
        enough=limits.answer_loss,
    )
    if cause is not None:
        return cause
    return Diagnosis(
        "underfits",
        f"{limits.samples} answers are not learned by heart in {steps} steps (loss {measured.fitted:.3g}, at most "
        f"{limits.answer_loss:g}; {measured.token_accuracy:.0%} of their tokens right)",
        f"raise training.learning_rate ({rate:.2g}) or overfit.steps; samples that contradict each other cannot be "
        "learned",
    )
