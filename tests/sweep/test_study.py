import math
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from posttrain.errors import EnvironmentFault
from posttrain.sweep.study import trial_id


def states(path: Path) -> list[TrialState]:
    study = optuna.load_study(study_name="toy", storage=JournalStorage(JournalFileBackend(str(path))))
    return [trial.state for trial in study.trials]


def test_ids_leave_t0000_to_the_baseline():
    assert trial_id(0) == "t0001"
    assert trial_id(41) == "t0042"


def test_every_ending_has_its_state(open_book, tmp_path):
    book = open_book()
    endings = [
        ("completed", 0.5, ""),
        ("stopped", 0.7, "asha"),
        ("gated", None, "no closure"),
        ("failed", None, "ValueError: no"),
        ("completed", math.nan, ""),
        ("completed", None, ""),
    ]
    for status, value, reason in endings:
        book.tell(book.draw().id, status, value, reason)
    assert states(tmp_path / "study.journal") == [
        TrialState.COMPLETE,
        TrialState.PRUNED,
        TrialState.PRUNED,
        TrialState.FAIL,
        TrialState.PRUNED,
        TrialState.FAIL,
    ]
    again = open_book().records()
    statuses = ["completed", "stopped", "gated", "failed", "failed", "failed"]
    assert [record.status for record in again] == statuses
    assert again[1].value == 0.7
    assert "asha" in again[1].reason
    assert "nan" in again[4].reason
    assert "without ever reporting" in again[5].reason


def test_a_completed_trial_without_a_value_gets_its_best_report(open_book):
    book = open_book(mode="max")
    id_ = book.draw().id
    for step, value in ((1, 0.1), (2, 0.9), (3, math.nan), (4, 0.5)):
        book.report(id_, step, value)
    assert book.tell(id_, "completed", None, "").value == 0.9


def test_trials_in_flight_are_continued_not_doubled(open_book):
    first = open_book()
    done, running = first.draw(), first.draw()
    first.tell(done.id, "completed", 0.1, "")
    first.report(running.id, 5, 0.4)

    second = open_book()
    (continued,) = second.continue_running()
    assert continued.id == running.id
    assert continued.parameters == running.parameters
    assert continued.steps == {5: 0.4}
    second.report(running.id, 5, 0.9)  # the steps since its checkpoint run again
    second.report(running.id, 10, 0.3)
    second.tell(running.id, "completed", 0.3, "")
    assert second.records()[1].steps == {5: 0.4, 10: 0.3}
    assert second.num_drawn() == 2
    assert open_book().continue_running() == []


def test_an_interrupted_trial_stays_open(open_book):
    book = open_book()
    id_ = book.draw().id
    assert book.tell(id_, "interrupted", None, "").status == "running"
    assert [record.id for record in open_book().continue_running()] == [id_]


@pytest.mark.parametrize("kind", ["tpe", "random"])
def test_a_resumed_sweep_draws_what_a_straight_one_draws(open_book, tmp_path, kind):
    def run(trials: int, restart_at: int | None) -> list[float]:
        (tmp_path / "study.journal").unlink(missing_ok=True)
        book = open_book(kind=kind)
        for number in range(trials):
            if number == restart_at:
                book = open_book(kind=kind)
            record = book.draw()
            book.tell(record.id, "completed", (record.parameters["x"] - 0.3) ** 2, "")
        return [record.parameters["x"] for record in book.records()]

    straight = run(12, None)
    assert run(12, 7) == straight
    assert len(set(straight)) == 12


def test_a_trial_killed_between_ask_and_its_parameters_gets_them(open_book, tmp_path):
    book = open_book()
    drawn = book.draw().parameters
    journal = tmp_path / "study.journal"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(line for line in lines if '"parameters"' not in line))
    (continued,) = open_book().continue_running()
    assert continued.parameters == drawn


def test_what_a_killed_driver_leaves_in_the_journal_is_repaired(open_book, tmp_path):
    journal = tmp_path / "study.journal"
    book = open_book()
    book.tell(book.draw().id, "completed", 0.1, "")
    with journal.open("a") as file:
        file.write('{"op_code":4,"worker_id":"tor')
    Path(f"{journal}.lock").symlink_to(journal)
    again = open_book()
    again.tell(again.draw().id, "completed", 0.2, "")
    assert [record.value for record in open_book().records()] == [0.1, 0.2]


def test_a_damaged_line_is_told_with_its_number(open_book, tmp_path):
    book = open_book()
    book.tell(book.draw().id, "completed", 0.5, "")
    journal = tmp_path / "study.journal"
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join([*lines[:2], "garbage", *lines[2:]]) + "\n")
    with pytest.raises(EnvironmentFault, match=r"study\.journal:3: this line is damaged"):
        open_book()
