import math
from dataclasses import dataclass, field
from typing import Any

import pytest

from posttrain.sweep.plan import AshaSpec
from posttrain.sweep.protocol import Job, Outcome
from posttrain.sweep.scheduler import Asha, SweepScheduler
from posttrain.sweep.study import TrialRecord

SPEC = AshaSpec(grace_steps=10, max_steps=90, reduction=3)


def record(id_: str, steps: dict[int, float]) -> TrialRecord:
    return TrialRecord(id_, "completed", {}, None, "", steps)


def test_no_trial_stops_before_its_grace():
    asha = Asha(SPEC, "min", [])
    assert not any(asha.stops(f"t{n}", 9, float(n)) for n in range(20))


@pytest.mark.parametrize(("mode", "sign"), [("min", 1), ("max", -1)])
def test_losers_stop_at_a_rung(mode, sign):
    asha = Asha(SPEC, mode, [])
    decisions = [asha.stops(f"t{n}", 10, sign * n) for n in range(6)]
    assert decisions == [False, True, True, True, True, True]
    assert not asha.stops("best", 10, sign * -1.0)


def test_a_trial_at_its_last_step_has_completed():
    asha = Asha(SPEC, "min", [])
    asha.stops("t1", 10, 0.0)
    assert not asha.stops("t1", 90, 0.0)


def test_the_last_step_stops_no_trial_though_it_is_a_rung():
    asha = Asha(AshaSpec(grace_steps=40, max_steps=160, reduction=2), "min", [])
    for n, trial in enumerate(("best", "second", "third")):
        assert not asha.stops(trial, 160, float(n))


def test_rungs_filled_from_the_study_decide_like_those_of_a_straight_run():
    values = {f"t{n}": {10: float(n % 5), 30: float(n % 3), 90: float(n)} for n in range(8)}
    straight = Asha(SPEC, "min", [])
    for id_, steps in values.items():
        for step, value in steps.items():
            straight.stops(id_, step, value)
    refilled = Asha(SPEC, "min", [record(id_, steps) for id_, steps in values.items()])
    for step in (10, 30, 90):
        for value in (-1.0, 0.5, 1.5, 3.0):
            name = f"new-{step}-{value}"
            assert straight.stops(name, step, value) == refilled.stops(name, step, value)


def test_a_continued_trial_is_not_judged_twice_at_a_rung():
    asha = Asha(SPEC, "min", [record("a", {10: 0.0}), record("b", {10: 5.0})])
    assert not asha.stops("b", 12, 9.0)  # it stands in this rung already


@dataclass
class TuneTrial:
    job: Job
    trial_id: str = "x"
    config: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.config = {"job": self.job}


def test_decisions_go_to_the_job_and_tune_goes_on():
    stopped: list[tuple[str, str]] = []
    scheduler = SweepScheduler(Asha(SPEC, "min", []), lambda *stop: stopped.append(stop), lambda *cause: None)
    for n in range(3):
        trial = TuneTrial(Job(f"t{n}", "trial", {}))
        assert scheduler.on_trial_result(None, trial, {"step": 10, "values/objective": float(n)}) == "CONTINUE"
    assert [id_ for id_, _ in stopped] == ["t1", "t2"]
    assert "step 10" in stopped[0][1]


def test_a_broken_objective_stops_even_without_asha():
    stopped: list[tuple[str, str]] = []
    scheduler = SweepScheduler(None, lambda *stop: stopped.append(stop), lambda *cause: None)
    trial = TuneTrial(Job("t1", "trial", {}))
    scheduler.on_trial_result(None, trial, {"step": 4, "values/objective": math.nan})
    scheduler.on_trial_result(None, trial, {"step": 6, "values/objective": 5.0})
    scheduler.on_trial_result(None, trial, {"outcome": Outcome(trial.job), "done": True})
    assert stopped == [("t1", "the objective is not a finite number: nan at step 4")]
