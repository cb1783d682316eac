import math
from collections.abc import Mapping
from typing import Any

import pytest

from posttrain.errors import EnvironmentFault, NoAnswer
from posttrain.sweep import ledger as ledger_module
from posttrain.sweep.ledger import Ledger, Verdict, objective_problem
from posttrain.sweep.protocol import Job, Outcome

from .recorder import Recorder


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch):
    monkeypatch.setattr(ledger_module, "SEND_AGAIN_S", 0.0)


def make(
    book: Any, trials: int = 3, prepared: Any = lambda outcome: None, payload: Any = None
) -> tuple[Ledger, Recorder]:
    events = Recorder()

    def plain(id_: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"parameters": parameters}

    made = Ledger(
        book,
        events,
        trials=trials,
        prepare={"what": "data"},
        prepared=prepared,
        payload=payload or plain,
        max_retries=1,
    )
    return made, events


def take(ledger: Ledger) -> Job:
    job = ledger.next_job()
    assert isinstance(job, Job)
    return job


def prepare(ledger: Ledger) -> None:
    ledger.on_outcome(Outcome(take(ledger), {"baseline": 1.0}))


def test_the_preparation_comes_first_and_alone(open_book):
    ledger, _ = make(open_book())
    job = take(ledger)
    assert (job.kind, job.payload) == ("prepare", {"what": "data"})
    assert ledger.next_job() is Verdict.WAIT
    ledger.on_outcome(Outcome(job, {}))
    assert take(ledger).id == "t0001"


def test_a_note_that_its_jobs_end_has_overtaken_says_nothing_true(open_book):
    ledger, _ = make(open_book())
    job = take(ledger)
    assert not ledger.is_late(job.id, {"doing": "encoding clips"})
    ledger.on_outcome(Outcome(job, {}))
    assert ledger.is_late(job.id, {"doing": "encoding clips"})
    assert not ledger.is_late(job.id, {"gate": "the file's own configuration", "passed": True})


def test_trials_run_up_to_their_number_and_then_it_is_done(open_book):
    ledger, events = make(open_book(), trials=2)
    prepare(ledger)
    jobs = [take(ledger), take(ledger)]
    assert ledger.next_job() is Verdict.WAIT
    for job in jobs:
        ledger.on_report(job.id, 10, {"objective": 0.5})
        ledger.on_outcome(Outcome(job, {}))
    assert ledger.next_job() is Verdict.DONE
    assert [entry[:3] for entry in events.trials if entry[0] == "t0002"] == [
        ("t0002", "running", None),
        ("t0002", "running", 10),
        ("t0002", "completed", None),
    ]


def test_what_was_in_flight_runs_before_new_draws(open_book):
    before = open_book()
    left = [before.draw().id, before.draw().id]
    before.tell(left[0], "completed", 0.1, "")
    ledger, _ = make(open_book(), trials=3)
    prepare(ledger)
    assert [take(ledger).id, take(ledger).id] == ["t0002", "t0003"]
    assert ledger.next_job() is Verdict.WAIT


def test_a_sweep_that_is_done_only_prepares(open_book):
    book = open_book()
    book.tell(book.draw().id, "completed", 0.1, "")
    ledger, _ = make(open_book(), trials=1)
    prepare(ledger)
    assert ledger.next_job() is Verdict.DONE


def test_a_preparation_may_end_the_sweep(open_book):
    def refuse(outcome: Outcome) -> None:
        raise NoAnswer("the gate failed")

    ledger, _ = make(open_book(), prepared=refuse)
    prepare(ledger)
    assert ledger.next_job() is Verdict.DONE
    assert isinstance(ledger.fault, NoAnswer)


def test_a_failed_preparation_is_told_and_starts_no_trial(open_book):
    heard: list[Outcome] = []
    ledger, _ = make(open_book(), prepared=heard.append)
    ledger.on_outcome(Outcome(take(ledger), error="OSError: disk"))
    assert heard[0].status == "failed"
    assert ledger.next_job() is Verdict.DONE


def test_a_payload_that_cannot_be_made_ends_the_sweep_with_its_error(open_book):
    def broken(id_: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        raise KeyError(id_)

    ledger, _ = make(open_book(), payload=broken)
    prepare(ledger)
    assert ledger.next_job() is Verdict.DONE
    assert isinstance(ledger.fault, KeyError)


def test_a_lost_job_runs_again_and_fails_after_its_retries(open_book):
    ledger, events = make(open_book(), trials=1)
    prepare(ledger)
    job = take(ledger)
    ledger.on_lost(job.id, "node gone")
    assert events.last("t0001") == "retrying"
    again = take(ledger)
    assert (again.id, again.attempt, again.payload) == (job.id, 1, job.payload)
    ledger.on_lost(job.id, "node gone")
    assert events.trials[-1] == ("t0001", "failed", None, "node gone (2 times)")
    assert ledger.next_job() is Verdict.DONE


def test_a_job_that_never_finds_workers_is_a_fault_of_the_environment(open_book):
    ledger, _ = make(open_book())
    for _ in range(2):
        ledger.on_outcome(Outcome(take(ledger), error="no worker group within 5 s", unplaced=True))
    assert isinstance(ledger.fault, EnvironmentFault)
    assert ledger.next_job() is Verdict.DONE


def test_an_interrupt_leaves_trials_open(open_book):
    ledger, events = make(open_book())
    prepare(ledger)
    job = take(ledger)
    ledger.stopping = True
    assert ledger.next_job() is Verdict.DONE
    ledger.on_outcome(Outcome(job, {"status": "interrupted"}))
    assert events.last(job.id) == "interrupted"
    assert [record.status for record in open_book().records()] == ["running"]


def test_only_a_number_is_an_objective():
    assert objective_problem({"objective": 1.0}) is None
    assert objective_problem({"loss": math.nan}) is None
    assert "nan" in (objective_problem({"objective": math.nan}) or "")
    assert "inf" in (objective_problem({"objective": math.inf}) or "")
