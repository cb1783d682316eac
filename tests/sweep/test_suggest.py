import optuna
import pytest
from pydantic import TypeAdapter

from posttrain.config.space import SearchSpace
from posttrain.sweep.suggest import make_samplers, make_suggest

SPACE = TypeAdapter(SearchSpace).validate_python(
    {
        "strategy.rank": {"choice": [8, 16], "when": {"strategy.type": ["lora"]}},
        "training.warmup": {"uniform": [0.0, 0.1], "when": {"training.schedule": "cosine"}},
        "training.schedule": {"choice": ["cosine", "linear"]},
        "training.learning_rate": {"loguniform": [1e-5, 1e-3]},
        "training.steps": {"randint": [10, 20]},
        "data.stages.broad.weights": {"simplex": ["ego", "cctv", "sim"], "min": 0.1, "max": 0.6},
        "strategy.target_modules": {"choice": [["to_q"], ["to_q", "to_k"]]},
    }
)


def draws(space, count=40, kind="random", fixed=None):
    study = optuna.create_study()
    suggest = make_suggest(space, (fixed or {"strategy.type": "lora"}).__getitem__)
    samplers = make_samplers(kind, seed=1, trials=count)
    drawn = []
    for number in range(count):
        study.sampler = samplers(number)
        trial = study.ask()
        drawn.append(suggest(trial))
        study.tell(trial, float(number))
    return drawn


@pytest.fixture(autouse=True)
def _quiet():
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def test_every_kind_stays_in_its_range():
    for drawn in draws(SPACE):
        assert drawn["strategy.rank"] in (8, 16)
        assert 1e-5 <= drawn["training.learning_rate"] <= 1e-3
        assert drawn["training.steps"] in range(10, 21)
        weights = drawn["data.stages.broad.weights"]
        assert list(weights) == ["ego", "cctv", "sim"]
        assert sum(weights.values()) == pytest.approx(1)
        assert all(0.1 - 1e-9 <= weight <= 0.6 + 1e-9 for weight in weights.values())
        assert drawn["strategy.target_modules"] in (["to_q"], ["to_q", "to_k"])


def test_a_dimension_is_drawn_only_where_its_condition_holds():
    drawn = draws(SPACE)
    assert {one["training.schedule"] for one in drawn} == {"cosine", "linear"}
    assert all(("training.warmup" in one) == (one["training.schedule"] == "cosine") for one in drawn)
    full = draws(SPACE, count=3, fixed={"strategy.type": "full"})
    assert all("strategy.rank" not in one for one in full)


def test_tpe_draws_conditional_spaces_too():
    assert len(draws(SPACE, count=20, kind="tpe")) == 20


def test_draws_depend_on_the_seed_and_the_number_alone():
    assert draws(SPACE, count=5) == draws(SPACE, count=5)
