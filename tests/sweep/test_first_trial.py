"""t0001 in the study: it runs the file's own values, and samplers learn from the nearest point of the space."""

import json
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from pydantic import TypeAdapter

from posttrain.config import Dimension, SearchSpace
from posttrain.sweep.study import FirstTrial, StudyBook
from posttrain.sweep.suggest import first_draws, make_samplers, make_suggest

SPACE: dict[str, Dimension] = TypeAdapter(SearchSpace).validate_python(
    {
        "training.learning_rate": {"loguniform": [1e-5, 1e-3]},
        "training.weight_decay": {"loguniform": [1e-4, 1e-1]},
        "strategy.rank": {"choice": [8, 16, 32]},
        "strategy.target_modules": {"choice": [["to_q"], ["to_q", "to_k"]]},
        "training.schedule": {"choice": ["cosine", "linear"]},
        "training.warmup": {"uniform": [0.0, 0.1], "when": {"training.schedule": "cosine"}},
        "data.stages.all.weights": {"simplex": ["ego", "cctv", "sim"]},
    }
)
# None of it can be drawn: beyond a range, 0 in a logarithmic one, not listed, weights of 0 and 1.
OWN: dict[str, Any] = {
    "training.learning_rate": 0.01,
    "training.weight_decay": 0.0,
    "strategy.rank": 20,
    "strategy.target_modules": ["to_v"],
    "training.schedule": "constant",
    "training.warmup": 0.5,
    "data.stages.all.weights": {"ego": 1.0, "cctv": 0.0, "sim": 0.0},
}
ACTIVE = {path: value for path, value in OWN.items() if path != "training.warmup"}


@pytest.fixture(autouse=True)
def _no_warnings() -> Iterator[None]:
    """Optuna warns of values outside of a distribution."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def open_book(folder: Path, kind: str = "tpe", own: dict[str, Any] = OWN) -> StudyBook:
    return StudyBook(
        folder / "study.journal",
        "toy",
        mode="min",
        suggest=make_suggest(SPACE, OWN.__getitem__),
        make_sampler=make_samplers("tpe" if kind == "tpe" else "random", seed=3, trials=30),
        first=FirstTrial(first_draws(SPACE, own), ACTIVE),
    )


def journal(folder: Path) -> optuna.Study:
    return optuna.load_study(
        study_name="toy", storage=JournalStorage(JournalFileBackend(str(folder / "study.journal")))
    )


def test_the_first_trial_has_the_files_own_values(tmp_path: Path) -> None:
    record = open_book(tmp_path).draw()
    assert record.id == "t0001"
    assert record.parameters == ACTIVE
    assert list(record.parameters) == list(ACTIVE)


def test_in_optuna_it_is_the_nearest_point_with_every_parameter(tmp_path: Path) -> None:
    book = open_book(tmp_path)
    book.draw()
    book.draw()
    first, second = journal(tmp_path).trials
    assert first.params == {
        "training.learning_rate": pytest.approx(1e-3),
        "training.weight_decay": pytest.approx(1e-4),
        "strategy.rank": 16,
        "strategy.target_modules": '["to_q"]',
        "training.schedule": "cosine",
        "training.warmup": 0.1,
        "data.stages.all.weights.ego": 1.0,
        "data.stages.all.weights.cctv": pytest.approx(0.01),
        "data.stages.all.weights.sim": pytest.approx(0.01),
    }
    shared = first.distributions.keys() & second.distributions.keys()
    assert all(first.distributions[name] == second.distributions[name] for name in shared)
    assert {"training.learning_rate", "strategy.rank", "data.stages.all.weights.ego"} <= shared


def test_values_that_the_space_holds_are_drawn_as_they_are() -> None:
    own = {**OWN, "training.learning_rate": 3e-4, "strategy.rank": 32, "strategy.target_modules": ["to_q", "to_k"]}
    weights = {"ego": 0.5, "cctv": 0.3, "sim": 0.2}
    drawn = first_draws(SPACE, {**own, "data.stages.all.weights": weights})
    assert drawn["training.learning_rate"] == 3e-4
    assert drawn["strategy.rank"] == 32
    assert drawn["strategy.target_modules"] == '["to_q", "to_k"]'
    simplex = SPACE["data.stages.all.weights"]
    assert simplex.weights([drawn[f"data.stages.all.weights.{name}"] for name in weights]) == pytest.approx(weights)  # type: ignore[attr-defined]


def test_a_value_that_is_not_set_is_drawn_as_the_middle_of_a_range() -> None:
    drawn = first_draws(SPACE, {**OWN, "training.learning_rate": None})
    assert drawn["training.learning_rate"] == pytest.approx(1e-4)


def test_the_sampler_goes_on_jointly_and_with_finite_draws(tmp_path: Path) -> None:
    """An empty first trial, or one with a range of its own, would end joint sampling for the whole study."""
    book = open_book(tmp_path)
    for _ in range(20):
        record = book.draw()
        loss = abs(math.log(record.parameters["training.learning_rate"] / 1e-3))
        book.tell(record.id, "completed", loss, "")
    study = journal(tmp_path)
    always = set(first_draws(SPACE, OWN)) - {"training.warmup"}
    assert set(optuna.search_space.intersection_search_space(study.get_trials())) == always
    assert all(1e-5 <= trial.params["training.learning_rate"] <= 1e-3 for trial in study.trials)
    later = [trial.params["training.learning_rate"] for trial in study.trials[10:]]
    assert sorted(later)[len(later) // 2] > 1e-4, "TPE has learned where it is good"


def test_a_resumed_study_keeps_the_first_trial(tmp_path: Path) -> None:
    open_book(tmp_path).draw()
    other = {**OWN, "training.learning_rate": 2e-5}  # what was drawn counts, whatever comes later
    (continued,) = open_book(tmp_path, own=other).continue_running()
    assert continued.parameters == ACTIVE
    assert json.loads(json.dumps(continued.parameters)) == ACTIVE


@pytest.mark.parametrize("lost", ['"parameters"', '"own_configuration"'])
def test_a_driver_killed_while_the_first_trial_was_drawn_loses_nothing(tmp_path: Path, lost: str) -> None:
    """What lies in the journal from that moment on is cut off; the attribute is written with the trial itself."""
    open_book(tmp_path).draw()
    path = tmp_path / "study.journal"
    lines = path.read_text().splitlines(keepends=True)
    cut = next(index for index, line in enumerate(lines) if lost in line)
    path.write_text("".join(lines[:cut]))
    book = open_book(tmp_path)
    (record,) = book.continue_running() or [book.draw()]
    assert record.id == "t0001"
    assert record.parameters == ACTIVE


def test_random_sampling_has_the_same_first_trial(tmp_path: Path) -> None:
    book = open_book(tmp_path, kind="random")
    assert book.draw().parameters == ACTIVE
    second = book.draw().parameters
    assert 1e-5 <= second["training.learning_rate"] <= 1e-3
