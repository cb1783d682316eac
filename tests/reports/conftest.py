"""Run directories as a sweep would leave them: real files, no sweep."""

import fcntl
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from posttrain.paths import RunPaths

SWEEP: dict[str, Any] = {
    "name": "warehouse-lora",
    "training": {"steps": 60},
    "search": {"trials": 8, "objective": {"metric": "held_out/loss", "mode": "min"}},
    "search_space": {
        "training.learning_rate": {"loguniform": [1e-5, 1e-3]},
        "strategy.rank": {"choice": [8, 16, 32]},
        "data.stages.broad.weights": {"simplex": ["ego", "cctv"]},
    },
}
STOPPED = "loss 0.390 is above the median of rung 1 (0.35); 3 of 4 trials did better"
GATED = (
    "overfit test: the loss did not close (0.12 of 0.5 wanted). The learning rate is too low for 60 steps: raise "
    "training.learning_rate"
)


class RunBuilder:
    """Writes one run directory, trial by trial."""

    def __init__(self, root: Path) -> None:
        self.run = RunPaths(root)
        self.run.trials.mkdir(parents=True)
        self.sweep(SWEEP)

    def sweep(self, content: dict[str, Any]) -> None:
        """The resolved sweep file."""
        self.run.sweep_yaml.write_text(yaml.safe_dump(content))

    def result(self, trial_id: str, status: str, value: float | None = None, step: int = 0, **more: Any) -> None:
        """A trial that has ended; the PSNR falls with the loss, so that the two metrics have different winners."""
        metrics = {}
        objective = None
        if value is not None:
            objective = {"metric": "held_out/loss", "mode": "min", "value": value, "step": step}
            metrics["held_out/loss"] = {"best": value, "best_step": step, "mode": "min"}
            metrics["held_out/psnr"] = {"best": 10 + 20 * value, "best_step": step, "mode": "max"}
        result = {
            "id": trial_id,
            "status": status,
            "reason": "",
            "parameters": {},
            "objective": objective,
            "metrics": metrics,
            "steps": 60,
            "seconds": {"train": 30.0, "evaluate": 2.5},
        }
        self.run.trial(trial_id).root.mkdir(exist_ok=True)
        self.run.trial(trial_id).result_json.write_text(json.dumps(result | more))

    def unfinished(self, trial_id: str, records: list[dict[str, Any]]) -> None:
        """A trial that is running, or was interrupted."""
        trial = self.run.trial(trial_id)
        trial.root.mkdir(exist_ok=True)
        stages = [{"name": "broad", "weights": {"cctv": 0.7, "ego": 0.3}}]
        config = {
            "training": {"learning_rate": 2.5e-4},
            "strategy": {"rank": 8},
            "data": {"stages": stages},
        }
        trial.trial_yaml.write_text(yaml.safe_dump(config))
        trial.metrics_jsonl.write_text("".join(json.dumps(record) + "\n" for record in records))


def drawn(rate: float, rank: int, ego: float) -> dict[str, Any]:
    """Drawn parameters of one trial."""
    weights = {"ego": ego, "cctv": round(1 - ego, 6)}
    return {
        "training.learning_rate": rate,
        "strategy.rank": rank,
        "data.stages.broad.weights": weights,
    }


@pytest.fixture
def builder(tmp_path: Path) -> RunBuilder:
    """An empty run."""
    return RunBuilder(tmp_path / "warehouse-lora")


@pytest.fixture
def run(builder: RunBuilder) -> RunPaths:
    """A run with a trial in every state, whose driver is gone."""
    failed = "loss is NaN at step 18\nTraceback ..."
    builder.result("t0000", "completed", 0.4121, steps=0)
    builder.result("t0001", "completed", 0.31205, 56, parameters=drawn(1.23456e-4, 16, 0.5))
    builder.result("t0002", "stopped", 0.39, 12, steps=12, reason=STOPPED, parameters=drawn(1e-5, 8, 0.62))
    builder.result("t0003", "gated", steps=0, reason=GATED, parameters=drawn(3.2e-5, 32, 0.1))
    builder.result("t0004", "failed", steps=18, reason=failed, parameters=drawn(9.9e-4, 32, 0.9))
    builder.result("t0005", "completed", 0.4512, 24, parameters=drawn(8.7e-4, 8, 0.25))
    builder.unfinished(
        "t0006",
        [
            {"step": 8, "kind": "eval", "held_out/loss": 0.35},
            {"step": 16, "kind": "eval", "held_out/loss": None, "nan": ["held_out/loss"]},
            {"step": 30, "kind": "train", "train/loss": 0.2},
        ],
    )
    return builder.run


@pytest.fixture
def live_run(run: RunPaths) -> Iterator[RunPaths]:
    """The same, with its lock held as a driver at work holds it."""
    with run.lock.open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield run
