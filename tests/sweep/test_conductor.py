"""What a drawn configuration becomes before it is sent to a slot."""

import json
from pathlib import Path

from posttrain.config import Choice, Dimension, LogUniform, Simplex, TrialConfig
from posttrain.config.own import own_parameters
from posttrain.data import Sample
from posttrain.sweep.conductor import drawn_payload

TRAIN = {
    source: [Sample(f"{source}/{k}", source, Path("x.mp4"), 0.0, "c", {"quality": k / 10}, f"{k}") for k in range(10)]
    for source in ("real", "made")
}


def base() -> TrialConfig:
    return TrialConfig.model_validate(
        {
            "name": "drawn",
            "model": {"checkpoint": "tiny:predict2.5"},
            "strategy": {"type": "lora"},
            "data": {"sources": {"real": {"path": "r"}, "made": {"path": "m", "max_epochs": 5}}},
            "training": {"steps": 10, "batch_size": 10, "learning_rate": 1e-3},
        }
    )


def test_weights_that_the_data_cannot_carry_make_no_trial() -> None:
    right = {"data.stages.all.weights": {"real": 0.5, "made": 0.5}}
    assert "invalid" not in drawn_payload(base(), TRAIN, right)
    wrong = {"data.stages.all.weights": {"real": 0.4, "made": 0.6}}
    payload = drawn_payload(base(), TRAIN, wrong)
    assert payload["parameters"] == wrong
    assert payload["config"] == base().model_dump()
    assert "data.sources.made.max_epochs is 5" in payload["invalid"]
    assert "the largest weights that work are 0.5 for made in all" in payload["invalid"]


def test_the_files_own_parameters_train_the_file_as_it_stands() -> None:
    """Bit for bit, also where the search space does not hold it, and after the study has kept the parameters."""
    space: dict[str, Dimension] = {
        "training.learning_rate": LogUniform(loguniform=(1e-5, 1e-4)),
        "strategy.rank": Choice(choice=(32, 64)),
        "data.stages.all.weights": Simplex(simplex=("real", "made")),
    }
    parameters = own_parameters(base(), space)
    assert parameters["training.learning_rate"] == 1e-3
    assert parameters["strategy.rank"] == 16
    payload = drawn_payload(base(), TRAIN, json.loads(json.dumps(parameters)))
    assert "invalid" not in payload
    assert payload["config"] == base().model_dump()
    assert payload["parameters"] == parameters


def test_a_drawn_threshold_may_leave_nothing() -> None:
    few = {"data.stages.all.weights": {"real": 0.8, "made": 0.2}, "data.stages.all.min_quality": 0.5}
    assert "invalid" not in drawn_payload(base(), TRAIN, few)
    more = few | {"data.stages.all.weights": {"real": 0.7, "made": 0.3}}
    assert "6 epochs over 5 samples" in drawn_payload(base(), TRAIN, more)["invalid"]
    told = drawn_payload(base(), TRAIN, {"data.stages.all.min_quality": 0.95})["invalid"]
    assert "data.stages.all.min_quality: none of the 20 training samples is left by 'quality >= 0.95'" in told
    assert "is no path" in drawn_payload(base(), TRAIN, {"data.stages.late.min_quality": 0.5})["invalid"]
