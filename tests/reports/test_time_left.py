"""The time left of a sweep, from what its trials took."""

from typing import Any

import pytest

from posttrain.reports.time_left import Costs, UnderWay, seconds_left
from posttrain.reports.trials import TrialRow

COSTS = Costs(trial=40.0, gate=10.0, after_gate=30.0, full_training=60.0)


def row(status: str, step: int, **seconds: float) -> TrialRow:
    return TrialRow("t0001", status, step=step, seconds=seconds)


def test_costs_are_means_over_all_ended_trials() -> None:
    ended = [
        row("completed", 60, gate=10.0, training=50.0, evaluation=10.0),
        row("stopped", 15, gate=10.0, training=10.0, evaluation=5.0),
        row("gated", 0, gate=13.0),
        row("failed", 0),
    ]
    assert Costs.of(ended, 60) == Costs(trial=36.0, gate=11.0, after_gate=25.0, full_training=60.0)
    assert Costs.of([row("gated", 0, gate=8.0)], 60) == Costs(8.0, 8.0, 0.0, None)
    assert Costs.of([row("failed", 0)], 60) is None
    assert Costs.of([], 60) is None


@pytest.mark.parametrize(
    ("trial", "left"),
    [
        (UnderWay("starting", seconds=100.0), 40.0),
        (UnderWay("gate", seconds=4.0), 36.0),
        (UnderWay("gate", step=20, steps=80, seconds=4.0), 12.0 + 30.0),
        (UnderWay("training", step=0, steps=60), 60.0),
        (UnderWay("training", step=15, steps=60, seconds=30.0), 90.0),
        (UnderWay("training", step=50, steps=60, seconds=20.0, first_step=40), 20.0),
        (UnderWay("training", step=40, steps=60, seconds=0.0, first_step=40), 20.0),
        (UnderWay("evaluating", step=60, steps=60, seconds=55.0), 5.0),
        (UnderWay("evaluating", step=60, steps=60, seconds=99.0), 0.0),
    ],
)
def test_a_running_trial_is_measured_by_its_own_progress(trial: UnderWay, left: float) -> None:
    assert seconds_left(COSTS, [trial], waiting=0, slots=2) == pytest.approx(left)


def test_waiting_trials_go_onto_the_slots_as_they_come_free() -> None:
    running = [UnderWay("training", 30, 60, 10.0), UnderWay("training", 30, 60, 30.0)]
    assert seconds_left(COSTS, running, waiting=0, slots=2) == 30.0
    assert seconds_left(COSTS, running, waiting=1, slots=2) == 50.0
    assert seconds_left(COSTS, running, waiting=2, slots=2) == 70.0
    assert seconds_left(COSTS, running, waiting=3, slots=2) == 90.0
    assert seconds_left(COSTS, [], waiting=3, slots=2) == 80.0


@pytest.mark.parametrize(
    ("running", "waiting", "left"),
    [
        ([UnderWay("gate", 20, 80, 4.0)], 0, None),
        ([UnderWay("training", 30, 60, 10.0)], 1, None),
        ([UnderWay("training", 30, 60, 10.0)], 0, 10.0),
        ([], 0, 0.0),
    ],
)
def test_nothing_is_told_before_a_trial_has_ended(running: list[Any], waiting: int, left: float | None) -> None:
    assert seconds_left(None, running, waiting, slots=2) == left


def test_a_second_before_the_end_a_second_is_left() -> None:
    ended = [row("gated", 0, gate=100.0), row("completed", 160, gate=100.0, training=280.0, evaluation=20.0)]
    last = UnderWay("training", step=159, steps=160, seconds=159.0)
    assert seconds_left(Costs.of(ended, 160), [last], waiting=0, slots=2) == pytest.approx(1.0)
