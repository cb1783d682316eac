"""Failures of the gate that the learning rate explains, told from the course of the loss."""

from collections.abc import Sequence

from posttrain.overfit.verdict import Diagnosis

# A fit that is still above this share of its start hardly moved; above its start it got worse.
BARELY_MOVED = 0.8
# A training loss that rose above this multiple of its start was thrown off by its steps, whatever it did later.
OVERSHOT = 1.15


def blown_up(rate: float, loss: float, steps: int) -> Diagnosis:
    """The loss did not stay a number."""
    return Diagnosis(
        "not_finite",
        f"learning rate {rate:.2g} blows up: the loss is {loss} after {steps} steps",
        f"lower training.learning_rate below {rate / 10:.1g}, or set training.max_grad_norm",
    )


def rate_cause(
    rate: float,
    losses: Sequence[float],
    initial: float,
    fitted: float,
    *,
    subject: str,
    steps: int,
    enough: float = 0.0,
) -> Diagnosis | None:
    """What a fit that is not good enough says of the rate; None where neither too high nor too low explains it.

    Args:
        losses: of the training, the first step's first.
        initial, fitted: the fit before and after it.
        subject: what was fitted, for example "the fit on 4 samples".
        enough: a fit up to here is good, however it compares with its start.
    """
    course = f"{_shown(initial)} -> {_shown(fitted)} in {steps} steps"
    if fitted > max(initial, enough):
        return Diagnosis(
            "diverged",
            f"learning rate {rate:.2g} is too high: {subject} got worse ({course})",
            f"lower training.learning_rate to about {rate / 10:.1g}",
        )
    if max(losses) > OVERSHOT * losses[0]:
        return Diagnosis(
            "unstable",
            f"learning rate {rate:.2g} is too high: the loss rose from {_shown(losses[0])} to {_shown(max(losses))} "
            f"before it fell ({course})",
            f"lower training.learning_rate to about {rate / 3:.1g}",
        )
    if fitted > BARELY_MOVED * initial:
        return Diagnosis(
            "too_slow",
            f"learning rate {rate:.2g} is too low: {subject} hardly moved ({course})",
            f"raise training.learning_rate to about {rate * 10:.1g}, or overfit.steps",
        )
    return None


def _shown(loss: float) -> str:
    return f"{loss:.2f}" if loss >= 0.1 else f"{loss:.2g}"
