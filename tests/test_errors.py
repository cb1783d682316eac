"""Errors survive pickling, carry their exit codes, and say place, cause and remedy."""

import errno
import pickle

import pytest

from posttrain.errors import (
    ConfigError,
    DataError,
    EnvironmentFault,
    Interrupted,
    Issue,
    ModelError,
    NoAnswer,
    PosttrainError,
    environment_faults,
)

EXIT_CODES = {
    PosttrainError: 2,
    DataError: 2,
    ModelError: 2,
    NoAnswer: 1,
    Interrupted: 3,
    EnvironmentFault: 4,
}


@pytest.mark.parametrize(("kind", "exit_code"), EXIT_CODES.items())
def test_each_error_has_its_exit_code_and_survives_pickling(kind: type[PosttrainError], exit_code: int) -> None:
    error = pickle.loads(pickle.dumps(kind("a folder is missing; make it")))
    assert type(error) is kind
    assert error.exit_code == exit_code
    assert error.message == str(error) == "a folder is missing; make it"


def test_a_config_error_is_a_value_error_that_keeps_its_issues_through_pickling() -> None:
    issues = [Issue("training.steps", "found 0", "a.yaml", 3, "take 1"), Issue("name", "is missing")]
    error = pickle.loads(pickle.dumps(ConfigError(issues)))
    assert isinstance(error, ValueError)
    assert error.exit_code == 2
    assert error.issues == issues
    assert str(error) == "a.yaml:3: training.steps: found 0. Take 1.\nname: is missing"


def test_an_issue_has_the_shape_that_other_programs_read() -> None:
    assert Issue("name", "is missing", "a.yaml", 1, "name it").to_dict() == {
        "where": "name",
        "file": "a.yaml",
        "line": 1,
        "message": "is missing",
        "hint": "name it",
    }


def test_a_full_disk_becomes_a_fault_of_the_environment_with_place_and_remedy() -> None:
    with (
        pytest.raises(EnvironmentFault, match=r"runs/a: cannot be written .*free some space"),
        environment_faults("runs/a"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_told_by_a_library_in_its_own_words_is_known_too() -> None:
    with pytest.raises(EnvironmentFault, match="disk is full"), environment_faults("runs/a"):
        raise RuntimeError("I/O error: No space left on device (os error 28)")


def test_a_bug_inside_the_block_stays_what_it_is() -> None:
    with pytest.raises(ZeroDivisionError), environment_faults("runs/a"):
        _ = 1 / 0
