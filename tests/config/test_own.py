"""The file's own configuration as trial t0001: exactly as it stands, and what the search cannot return to is said."""

import json
from typing import Any

import pytest
import yaml

from posttrain.config import LoadedSweep, load_sweep, merge, trial_config
from posttrain.config.own import own_parameters

from .conftest import Write

FILE: dict[str, Any] = {
    "name": "own",
    "model": {"checkpoint": "owner/model", "family": "cosmos-predict"},
    "strategy": {"type": "lora", "rank": 24},
    "data": {"sources": {name: {"path": name} for name in ("ego", "cctv", "sim")}},
    "training": {"steps": 40, "batch_size": 8, "learning_rate": 1e-4},
    "search_space": {"training.warmup": {"uniform": [0.0, 0.1]}},
}
BROAD = {"name": "broad", "fraction": 0.7}
LATE = {"name": "late", "fraction": 0.1 + 0.2}


def load(write: Write, space: dict[str, Any], **sections: Any) -> LoadedSweep:
    document = {**FILE, "search_space": space}
    for name, section in sections.items():
        document[name] = {**document.get(name, {}), **section}
    return load_sweep(write(text=yaml.safe_dump(document, sort_keys=False)))


CASES: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    (
        {"training.learning_rate": {"loguniform": [1.5e-3, 2e-3]}},
        {},
        "own training.learning_rate 0.0001 lies outside of its range 0.0015 to 0.002; t0001 runs with it, the search "
        "does not go there",
    ),
    ({"strategy.rank": {"choice": [8, 16]}}, {}, "own strategy.rank 24 lies outside of its choices 8, 16;"),
    (
        {"strategy.target_modules": {"choice": [["to_q"], ["to_v"]]}},
        {"strategy": {"target_modules": ["to_q", "to_k"]}},
        "own strategy.target_modules ['to_q', 'to_k'] lies outside of its choices ['to_q'], ['to_v'];",
    ),
    (
        {"data.stages.broad.weights": {"simplex": ["ego", "cctv"], "min": 0.3}},
        {"data": {"stages": [{**BROAD, "fraction": 1.0, "weights": {"ego": 1.0, "cctv": 0.0, "sim": 0.0}}]}},
        "lies outside of its simplex (ego 0.3 to 0.7, cctv 0.3 to 0.7);",
    ),
    (
        {"data.stages.all.weights": {"simplex": ["ego", "cctv"]}},
        {},
        "weights ego 0.333, cctv 0.333, sim 0.333 lies outside of its simplex (ego 0 to 1, cctv 0 to 1);",
    ),
    ({"strategy.alpha": {"uniform": [8, 32]}}, {}, "strategy.alpha is not set in the file: t0001 runs without it"),
    # weights of exactly 0 can be searched, although no draw gives them
    (
        {
            "data.stages.broad.weights": {"simplex": ["ego", "cctv", "sim"]},
            "data.stages.broad.fraction": {"uniform": [0.1, 0.9]},
        },
        {"data": {"stages": [{**BROAD, "weights": {"ego": 1 / 3, "cctv": 2 / 3}}, LATE]}},
        "",
    ),
    # equal weights over what a condition leaves are not weights that are written out
    (
        {"data.stages.broad.weights": {"simplex": ["ego", "cctv", "sim"]}},
        {"data": {"stages": [{**BROAD, "fraction": 1.0, "where": "quality > 0.5"}]}},
        "",
    ),
    (
        {"training.conditioning_frames": {"choice": [{1: 0.5, 2: 0.5}, {0: 1.0}]}},
        {"training": {"conditioning_frames": {1: 0.5, 2: 0.5}}},
        "",
    ),
    # a dimension that does not apply to the file has no value there
    (
        {
            "training.schedule": {"choice": ["constant", "linear"]},
            "training.warmup": {"uniform": [0.2, 0.3], "when": {"training.schedule": "linear"}},
        },
        {"training": {"schedule": "constant"}},
        "",
    ),
]


@pytest.mark.parametrize(("space", "sections", "warning"), CASES)
def test_the_files_own_parameters_leave_the_file_as_it_stands(
    write: Write, space: dict[str, Any], sections: dict[str, Any], warning: str
) -> None:
    loaded = load(write, space, **sections)
    base = trial_config(loaded.config)
    parameters = own_parameters(base, loaded.config.search_space)
    assert merge(base, parameters) == base
    kept = json.loads(json.dumps(parameters))  # as the study and result.json keep them
    assert merge(base, kept).model_dump() == base.model_dump()

    told = [issue for issue in loaded.warnings if issue.where.startswith("search_space")]
    assert len(told) == bool(warning)
    assert all(warning in issue.message and issue.line and issue.hint for issue in told), told


def test_parameters_of_the_file_are_shown_as_they_are(write: Write) -> None:
    weights = {"ego": 0.0, "cctv": 1.0, "sim": 0.0}
    space = {
        "training.learning_rate": {"loguniform": [1e-3, 2e-3]},
        "data.stages.broad.weights": {"simplex": ["ego", "cctv", "sim"]},
        "data.stages.late.weights": {"simplex": ["ego", "cctv"]},
        "training.warmup": {"uniform": [0.2, 0.3], "when": {"training.schedule": "linear"}},
    }
    config = load(write, space, data={"stages": [{**BROAD, "weights": weights}, LATE]}).config
    assert own_parameters(config, config.search_space) == {
        "training.learning_rate": 1e-4,
        "data.stages.broad.weights": weights,
        "data.stages.late.weights": dict.fromkeys(("ego", "cctv", "sim"), 1 / 3),
    }


def test_another_value_than_the_files_own_is_merged(write: Write) -> None:
    space = {"data.stages.late.fraction": {"uniform": [0.1, 0.9]}, "strategy.rank": {"choice": [8, 24]}}
    loaded = load(write, space, data={"stages": [BROAD, LATE]})
    trial = merge(loaded.config, {"data.stages.late.fraction": LATE["fraction"], "strategy.rank": 8})
    assert trial.strategy.model_dump()["rank"] == 8
    assert [stage.fraction for stage in trial.data.stages or ()] == pytest.approx([0.7, 0.3])
