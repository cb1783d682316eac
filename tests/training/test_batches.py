"""One batch is one batch: in micro-batches, and shared between two workers."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from posttrain.paths import TrialPaths
from posttrain.training.train import train
from posttrain.training.video_bench import VideoBench
from tests.tiny_trial import Listener, trial_config
from tests.training.trial_files import (
    assert_same_trial,
    checkpoint_steps,
    curves,
    evaluations,
    largest_difference,
    weights,
)

# a dropout mask is drawn for each forward pass, so it depends on how a batch is cut
PLAIN = {"strategy.dropout": 0.0}
ORDERS = [
    {"name": "two", "changes": PLAIN, "interrupt_at": None},
    {"name": "refused", "changes": PLAIN, "interrupt_at": None},
    {"name": "resumed", "changes": PLAIN, "interrupt_at": 6},
    {"name": "resumed", "changes": PLAIN, "interrupt_at": None},
    {"name": "cut", "changes": {**PLAIN, "training.micro_batch_size": 1}, "interrupt_at": None},
    {"name": "gate", "changes": {**PLAIN, "overfit.steps": 3}, "interrupt_at": None},
]


@pytest.fixture(scope="module")
def one(bench: VideoBench, tmp_path_factory: pytest.TempPathFactory) -> TrialPaths:
    """The trial by one worker, a whole batch at a time."""
    paths = TrialPaths(tmp_path_factory.mktemp("one"))
    train(trial_config(PLAIN), bench, paths, Listener())
    return paths


def assert_close_trials(found: TrialPaths, expected: TrialPaths) -> None:
    """The same up to the order of float32 sums, which twelve steps of Adam enlarge."""
    moved = largest_difference(weights(expected, 12), {k: 0 * v for k, v in weights(expected, 12).items()})
    assert largest_difference(weights(found, 12), weights(expected, 12)) < 1e-3 * moved
    for mine, theirs in zip(evaluations(found), evaluations(expected), strict=True):
        assert (mine.pop("step"), mine.pop("kind")) == (theirs.pop("step"), theirs.pop("kind"))
        assert mine == pytest.approx(theirs, rel=1e-4)
    for tag, points in curves(expected).items():
        assert curves(found)[tag] == [(step, pytest.approx(value, rel=1e-3)) for step, value in points]


@pytest.mark.parametrize("micro_batch_size", [1, 2])
def test_accumulated_micro_batches_are_one_batch(
    bench: VideoBench, one: TrialPaths, tmp_path: Path, micro_batch_size: int
) -> None:
    paths = TrialPaths(tmp_path)
    train(trial_config({**PLAIN, "training.micro_batch_size": micro_batch_size}), bench, paths, Listener())
    assert_close_trials(paths, one)


@pytest.fixture(scope="module")
def group(bench: VideoBench, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which two gloo workers ran `ORDERS` in turn."""
    assert bench.samples(), "encoded before the workers start, so that they find everything in the cache"
    folder = tmp_path_factory.mktemp("group")
    (folder / "orders.json").write_text(json.dumps(ORDERS))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tests.training.run_trials", str(folder / "orders.json"), str(folder)]
    shared = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    workers = []
    for rank in range(2):
        environment = {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}
        with (folder / f"output-{rank}.txt").open("w") as output:
            workers.append(
                subprocess.Popen(
                    command, cwd=Path(__file__).parents[2], env=environment, stdout=output, stderr=subprocess.STDOUT
                )
            )
    try:
        codes = [worker.wait(timeout=100) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    assert codes == [0, 0], "\n".join(path.read_text() for path in folder.glob("output-*.txt"))
    return folder


def test_two_workers_are_one(group: Path, one: TrialPaths) -> None:
    assert_close_trials(TrialPaths(group / "two"), one)
    assert checkpoint_steps(TrialPaths(group / "two")) == checkpoint_steps(one)


def test_two_workers_that_accumulate_are_one(group: Path, one: TrialPaths) -> None:
    assert_close_trials(TrialPaths(group / "cut"), one)


def test_two_workers_resume_as_if_not_interrupted(group: Path) -> None:
    """Rank 0 alone was asked to stop; the restarted trial tells its history on both ranks alike."""
    assert_same_trial(TrialPaths(group / "resumed"), TrialPaths(group / "two"), 12, train_curves=False)


def test_what_rank_zero_cannot_write_ends_the_trial_on_both(group: Path) -> None:
    """And the group lives on: the orders after it were carried out."""
    for rank in range(2):
        lines = (group / f"output-{rank}.txt").read_text().splitlines()
        (refused,) = (line for line in lines if line.startswith("refused "))
        assert refused.startswith("refused fault ")
        assert "checkpoints" in refused
        assert "cut completed 12" in lines


def test_two_workers_agree_on_a_verdict(group: Path) -> None:
    first, second = (json.loads((group / f"verdict-{rank}.json").read_text()) for rank in range(2))
    del first["seconds"], second["seconds"]
    assert first == second
    assert first["steps"] == 3
