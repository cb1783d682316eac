"""From numbers to a cause in words."""

import math

import pytest

from posttrain.config import TrialConfig, merge
from posttrain.overfit.diagnosis import Measured, diagnose
from posttrain.overfit.verdict import Check, Diagnosis, Verdict

FINE = {"initial": 1.8, "fitted": 0.3, "reference": 1.5, "closure": 0.3, "contrast": 2.0}
FALLING = (1.8, 0.9, 0.4)


@pytest.mark.parametrize(
    ("measured", "code"),
    [
        (Measured(60, FALLING, True, **FINE), None),
        (Measured(60, FALLING, True, **{**FINE, "contrast": None}), None),
        (Measured(60, FALLING, True, **{**FINE, "contrast": 1.2}), "captions_ignored"),
        (Measured(60, FALLING, True, **{**FINE, "contrast": math.nan}), "captions_ignored"),
        (Measured(60, FALLING, True, **{**FINE, "contrast": 1.2}, guide="control"), "controls_ignored"),
        (Measured(60, FALLING, True, **{**FINE, "fitted": 0.1, "closure": 0.9}), "closure"),
        (Measured(60, FALLING, True, **{**FINE, "fitted": 0.1, "closure": math.nan}), "closure"),
        (Measured(60, FALLING, True, **{**FINE, "fitted": 0.8}), "underfits"),
        (Measured(60, FALLING, True, **{**FINE, "fitted": 1.7}), "too_slow"),
        (Measured(60, FALLING, True, **{**FINE, "fitted": 1.9}), "diverged"),
        (Measured(60, (1.8, 4.0, 0.9), True, **{**FINE, "fitted": 1.2}), "unstable"),
        (Measured(60, (1.8, 4.0, 0.9), True, **FINE), None),
        (Measured(60, FALLING, False, **FINE), "frozen"),
        (Measured(10, (1.8, math.nan), True), "not_finite"),
        (Measured(10, (1.8, math.inf), True), "not_finite"),
        (Measured(60, FALLING, True, 1.8, math.nan), "not_finite"),
    ],
)
def test_the_most_telling_failure_is_named(quickstart: TrialConfig, measured: Measured, code: str | None) -> None:
    found = diagnose(quickstart, measured)
    assert (found.code if found else None) == code


def test_a_diagnosis_names_the_setting_its_value_and_a_better_one(quickstart: TrialConfig) -> None:
    config = merge(quickstart, {"training.learning_rate": 2e-5})
    found = diagnose(config, Measured(60, FALLING, True, **{**FINE, "fitted": 1.7}))
    assert found is not None
    assert (
        found.message == "learning rate 2e-05 is too low: the fit on 4 samples hardly moved (1.80 -> 1.70 in 60 steps)"
    )
    assert found.remedy.startswith("raise training.learning_rate to about 0.0002")


def test_thresholds_are_those_of_the_file(quickstart: TrialConfig) -> None:
    measured = Measured(60, FALLING, True, **{**FINE, "fitted": 0.6})
    assert diagnose(quickstart, measured) is not None
    assert diagnose(merge(quickstart, {"overfit.probe": 0.4}), measured) is None


def test_verdicts_survive_the_cache() -> None:
    failed = Verdict(
        False,
        Diagnosis("too_slow", "it is too low", "raise it"),
        [Check("finite_loss", True, 1.0, None), Check("fit", False, 0.8, 0.35, "at most")],
        steps=60,
        seconds=2.0,
    )
    assert Verdict.from_dict(failed.to_dict()) == failed
    assert failed.reason == "it is too low; raise it"
    assert failed.score == 0.8
    passed = Verdict(True, None)
    assert Verdict.from_dict(passed.to_dict()) == passed
    assert passed.reason == ""
