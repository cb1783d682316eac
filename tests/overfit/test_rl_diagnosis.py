"""From the numbers of a short reinforcement learning to a cause in words."""

import math
from dataclasses import replace
from typing import Any

import pytest

from posttrain.overfit.rl_diagnosis import Measured, Sampled, checks, diagnose
from tests.rl_trial import rl_config

SAMPLED = Sampled(before=0.5, after=0.9, right_before=0.4, right_after=0.85, unchanged=0.4)
GOOD = Measured(
    steps=40, loss=0.01, moved=True, grad_norm=1.0, first=0.55, last=0.9, equal_groups=0.4, cut=0.0,
    accuracy_share=0.83, sampled=SAMPLED,
)  # fmt: skip


@pytest.mark.parametrize(
    ("training", "sampled", "code"),
    [
        ({}, {}, None),
        ({"first": 0.95, "last": 0.98}, {"before": 0.75, "after": 0.9}, None),  # half of what was missing
        ({"accuracy_share": 0.0}, {"right_after": 0.4}, None),  # a reward about something else
        ({"cut": 1.0}, {}, None),  # it learns all the same
        ({"loss": math.nan}, None, "not_finite"),
        ({"grad_norm": math.inf}, None, "not_finite"),
        ({"cut": 1.0, "last": 0.5}, {"after": 0.5}, "always_cut"),
        ({"equal_groups": 1.0, "moved": False}, {"after": 0.5, "right_before": 0, "right_after": 0}, "no_signal"),
        ({"equal_groups": 1.0, "moved": False}, {"after": 0.5}, "constant_reward"),
        ({}, {"after": 0.3}, "diverged"),
        ({}, {"right_after": 0.2}, "wrong_reward"),
        ({"accuracy_share": 0.0}, {"right_after": 0.2}, "wrong_reward"),
        ({}, {"right_after": 0.45}, "wrong_reward"),
        ({"last": 0.55}, {"after": 0.52, "right_after": 0.4, "unchanged": 0.99}, "too_slow"),
        ({"moved": False}, {"after": 0.5, "right_after": 0.4, "unchanged": 1.0}, "too_slow"),
        ({"last": 0.6}, {"after": 0.6, "right_after": 0.5}, "underfits"),
    ],
)
def test_causes_are_told_apart(training: dict[str, Any], sampled: dict[str, Any] | None, code: str | None) -> None:
    answers = None if sampled is None else replace(SAMPLED, **sampled)
    measured = replace(GOOD, sampled=answers, **training)
    found = diagnose(rl_config(), measured)
    assert (None if found is None else found.code) == code
    assert (found is None) == all(check.passed for check in checks(rl_config(), measured))
    if found is not None:
        assert found.message
        assert found.remedy


def test_messages_have_the_numbers_and_what_to_change() -> None:
    slow = replace(GOOD, last=0.55, sampled=replace(SAMPLED, after=0.52, right_after=0.4, unchanged=0.99))
    found = diagnose(rl_config({"training.learning_rate": 1e-6}), slow)
    assert found is not None
    assert "learning rate 1e-06 is too low: 99% of the answers" in found.message
    assert "raise training.learning_rate to about 1e-05" in found.remedy
    cut = diagnose(rl_config(), replace(GOOD, cut=1.0, last=0.5, sampled=replace(SAMPLED, after=0.5)))
    assert cut is not None
    assert "100% of the answers are cut at 20 tokens" in cut.message
    assert "strategy.max_completion_tokens" in cut.remedy
