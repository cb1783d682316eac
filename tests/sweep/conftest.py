from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from posttrain.sweep.study import StudyBook
from posttrain.sweep.suggest import make_samplers

OpenBook = Callable[..., StudyBook]


@pytest.fixture
def open_book(tmp_path: Path) -> OpenBook:
    """Opens the test's study, again and again."""

    def suggest(trial: optuna.Trial) -> dict[str, float]:
        return {"x": trial.suggest_float("x", 0, 1)}

    def open_(mode: str = "min", kind: str = "tpe", trials: int = 16) -> StudyBook:
        return StudyBook(
            tmp_path / "study.journal",
            "toy",
            mode=mode,
            suggest=suggest,
            make_sampler=make_samplers(kind, seed=0, trials=trials),
        )

    return open_
