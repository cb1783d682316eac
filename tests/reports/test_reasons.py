"""A reason is printed once, and a trial without one prints none."""

from posttrain.reports.reasons import Printed


def test_a_reason_is_printed_for_the_first_trial_and_named_for_the_others() -> None:
    printed = Printed()
    assert printed.once("t0002", "too small a learning rate") == "too small a learning rate"
    assert printed.once("t0003", "too small a learning rate") == "same reason as t0002"
    assert printed.once("t0002", "too small a learning rate") == ""


def test_trials_without_a_reason_share_none() -> None:
    printed = Printed()
    assert [printed.once(name, "") for name in ("t0001", "t0004")] == ["", ""]
