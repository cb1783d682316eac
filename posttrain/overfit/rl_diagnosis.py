"""From the numbers of a short reinforcement learning to a cause in words.

Scores are rewards as a share of their reach, 0 the worst and 1 the best, so that weights do not matter. The thresholds
were calibrated on sound and on deliberately broken trainings of tiny checkpoints.
"""

import math
from dataclasses import dataclass

from posttrain.config import RlConfig, TrialConfig
from posttrain.overfit.learning_rate import blown_up
from posttrain.overfit.verdict import Check, Diagnosis

# Of answers that are cut, of groups whose answers earn the same, of answers that training left as they were.
ALMOST_ALL = 0.95
# A score or a share of right answers that fell by more did not fall by chance, at 128 answers.
FELL = 0.1
# Above this share of the reach, being right is what the reward is about.
ABOUT_ACCURACY = 0.5


@dataclass(frozen=True)
class Sampled:
    """Answers with fixed seeds before and after the training, to the samples that the base had not solved.

    Attributes:
        before: mean score.
        after: mean score.
        right_before: share of right answers.
        right_after: share of right answers.
        unchanged: share of answers that are word for word what they were.
    """

    before: float
    after: float
    right_before: float
    right_after: float
    unchanged: float


@dataclass(frozen=True)
class Measured:
    """The gate's numbers: of the training its first and its last fifth; `sampled` is None if it did not stay finite."""

    steps: int
    loss: float
    moved: bool
    grad_norm: float
    first: float
    last: float
    equal_groups: float  # share in the first fifth
    cut: float  # share of the first fifth's answers
    accuracy_share: float  # of the reach, that the reward `accuracy` has
    sampled: Sampled | None = None

    @property
    def finite(self) -> bool:
        """Whether the training stayed a number."""
        return math.isfinite(self.loss) and math.isfinite(self.grad_norm)


def wanted(gain: float, before: float) -> float:
    """How much a score must rise: by `gain`, or where less than twice that is missing by half of what is."""
    return min(gain, (1 - before) / 2)


def wanted_in_training(gain: float, measured: Measured) -> float:
    """How much the training's own reward must rise: half as much, for its first fifth has learned something already."""
    return wanted(gain, measured.first) / 2


def wanted_right(gain: float, measured: Measured) -> float:
    """How much the share of right answers must rise; where the reward is about something else, it must not fall."""
    assert measured.sampled is not None
    about = measured.accuracy_share >= ABOUT_ACCURACY
    return wanted(gain, measured.sampled.right_before) if about else -FELL


def checks(config: TrialConfig, measured: Measured) -> list[Check]:
    """What was measured, with the bounds; shares that only explain have none."""
    assert config.overfit is not None
    gain, sampled = config.overfit.reward_gain, measured.sampled
    found = [
        Check("finite_loss", measured.finite, measured.loss if math.isfinite(measured.loss) else None, None),
        Check("parameters_moved", measured.moved, None, None),
    ]
    if sampled is not None:
        rise, missing = measured.last - measured.first, 1 - sampled.after
        most = 1 - sampled.before - wanted(gain, sampled.before)
        right_rise, right_wanted = sampled.right_after - sampled.right_before, wanted_right(gain, measured)
        found += [
            Check("fit", missing <= most, missing, most, "at most; what is missing of the best reward, sampled afresh"),
            _at_least("training_reward", rise, wanted_in_training(gain, measured), "how much it rose"),
            _at_least("right_answers", right_rise, right_wanted, "how much their share rose"),
        ]
    return [
        *found,
        Check("equal_reward_groups", True, measured.equal_groups, None, "share, at the beginning"),
        Check("cut_completions", True, measured.cut, None, "share, at the beginning"),
        Check(
            "grad_norm", True, measured.grad_norm if math.isfinite(measured.grad_norm) else None, None, "the largest"
        ),
    ]


def diagnose(config: TrialConfig, measured: Measured) -> Diagnosis | None:
    """The cause of a failure, or None when every check passes."""
    failed = {check.name for check in checks(config, measured) if not check.passed}
    if not failed:
        return None
    if not measured.finite:
        return blown_up(config.training.learning_rate, measured.loss, measured.steps)
    return _nothing_to_learn(config, measured) or _wrong_direction(config, measured) or _too_little(config, measured)


def _nothing_to_learn(config: TrialConfig, measured: Measured) -> Diagnosis | None:
    """What stands in the way from the first step on."""
    strategy, sampled = config.strategy, measured.sampled
    assert isinstance(strategy, RlConfig)
    assert sampled is not None
    if measured.cut >= ALMOST_ALL:
        return Diagnosis(
            "always_cut",
            f"{measured.cut:.0%} of the answers are cut at {strategy.max_completion_tokens} tokens, before they end",
            "raise strategy.max_completion_tokens; if the base never ends an answer, train it by example first "
            "(`type: full`)",
        )
    if measured.equal_groups < ALMOST_ALL:
        return None
    if sampled.right_before == 0 and measured.accuracy_share > 0:
        return Diagnosis(
            "no_signal",
            f"the base never gives a right answer, so all {strategy.generations} answers to a question earn the same",
            "train it by example first (`type: full`), or give easier questions",
        )
    return Diagnosis(
        "constant_reward",
        f"in {measured.equal_groups:.0%} of the groups all {strategy.generations} answers earn the same reward, from "
        "which nothing can be learned",
        "look at strategy.rewards: does the question ask for what they reward? Else raise strategy.generations or "
        "strategy.temperature",
    )


def _wrong_direction(config: TrialConfig, measured: Measured) -> Diagnosis | None:
    """The reward itself, or right answers, got rarer."""
    sampled, rate = measured.sampled, config.training.learning_rate
    assert sampled is not None
    course = f"{sampled.before:.2f} -> {sampled.after:.2f} of its reach in {measured.steps} steps"
    right = f"{sampled.right_before:.0%} -> {sampled.right_after:.0%}"
    if sampled.before - sampled.after > FELL:
        return Diagnosis(
            "diverged",
            f"learning rate {rate:.2g} is too high: the reward fell ({course}; right answers {right})",
            f"lower training.learning_rate to about {rate / 10:.1g}, or raise strategy.kl",
        )
    if sampled.right_before - sampled.right_after > FELL:
        return Diagnosis(
            "wrong_reward",
            f"the reward does not fall ({course}), but right answers get rarer ({right})",
            "strategy.rewards does not reward what is asked for: look for a wrong sign or weight, and for answers "
            "that earn it without being right",
        )
    return None


def _too_little(config: TrialConfig, measured: Measured) -> Diagnosis:
    sampled, rate = measured.sampled, config.training.learning_rate
    assert sampled is not None
    assert config.overfit is not None
    course = f"{sampled.before:.2f} -> {sampled.after:.2f} of its reach in {measured.steps} steps"
    if not measured.moved or sampled.unchanged >= ALMOST_ALL:
        return Diagnosis(
            "too_slow",
            f"learning rate {rate:.2g} is too low: {sampled.unchanged:.0%} of the answers stayed word for word what "
            f"they were ({course})",
            f"raise training.learning_rate to about {rate * 10:.1g}, or overfit.steps",
        )
    rewarded = sampled.after - sampled.before >= wanted(config.overfit.reward_gain, sampled.before)
    right_rise = sampled.right_after - sampled.right_before
    if rewarded and right_rise < wanted_right(config.overfit.reward_gain, measured):
        return Diagnosis(
            "wrong_reward",
            f"the reward rises ({course}), but right answers hardly do ({sampled.right_before:.0%} -> "
            f"{sampled.right_after:.0%})",
            "give `accuracy` more weight against the other strategy.rewards, or raise overfit.steps",
        )
    fell_short = f"the reward on {config.overfit.samples} samples hardly rises ({course})"
    if rewarded:
        rise, least = measured.last - measured.first, wanted_in_training(config.overfit.reward_gain, measured)
        fell_short = f"the reward rises by {rise:.2f} in training, at least {least:.2f} ({course} sampled afresh)"
    return Diagnosis(
        "underfits",
        fell_short,
        f"raise training.learning_rate ({rate:.2g}), strategy.generations or overfit.steps",
    )


def _at_least(name: str, value: float, threshold: float, what: str) -> Check:
    return Check(name, value >= threshold, value, threshold, f"at least; {what}")
