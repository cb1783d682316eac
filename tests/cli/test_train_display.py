"""What `posttrain train` shows of a trial, on a pipe and on a terminal."""

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from posttrain.cli.train_display import TrainDisplay
from posttrain.paths import RunPaths


@pytest.fixture
def run(tmp_path: Path) -> RunPaths:
    """A run whose base model is measured."""
    run = RunPaths(tmp_path)
    run.trial("t0000").root.mkdir(parents=True)
    metrics = {"held_out/loss": {"best": 1.5}, "held_out/psnr": {"best": 10.0}}
    run.trial("t0000").result_json.write_text(json.dumps({"status": "completed", "metrics": metrics}))
    return run


def shown(run: RunPaths, events: list[dict[str, Any]], **console: Any) -> str:
    """What a console has got after these events."""
    output = io.StringIO()
    with TrainDisplay(Console(file=output, width=300, **console), "held_out/loss", 40) as display:
        display.watch(run)
        for event in events:
            display.progress("t0001", event)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output.getvalue())


def test_a_pipe_gets_a_line_for_each_activity_and_each_evaluation(run: RunPaths) -> None:
    lines = shown(
        run,
        [
            {"doing": "encoding clips", "done": 1, "total": 9},
            {"doing": "encoding clips", "done": 9, "total": 9},
            {"phase": "gate", "step": 3, "steps": 60},
            {"step": 10, "train/loss": 0.9, "train/steps_per_second": 12.0},
            {"phase": "evaluating", "step": 10, "steps": 40},
            {"evaluated": {"held_out/psnr": 12.0, "held_out/loss": 1.2, "objective": 1.2}, "step": 10},
        ],
    ).splitlines()
    assert lines == [
        "encoding clips",
        "gate: training on a few samples",
        "step 10/40 | held_out/loss 1.200 (base 1.500, -20.0%) | held_out/psnr 12.00 (base 10.00, +20.0%)"
        " | train/loss 0.9000 | 12 steps/s",
    ]


def test_a_terminal_shows_where_the_training_stands(run: RunPaths) -> None:
    events: list[dict[str, Any]] = [
        {"step": 10, "train/loss": 0.9, "train/steps_per_second": 12.0},
        {"evaluated": {"held_out/loss": 1.2}, "step": 10},
        {"phase": "training", "step": 12, "steps": 40},
        {"is_stopping": lambda: True},
    ]
    last = [line for line in shown(run, events, force_terminal=True).splitlines() if "elapsed" in line][-1]
    for part in ("step 10/40", "train/loss 0.9000", "held_out/loss 1.200 (base 1.500, -20.0%)", "stopping"):
        assert part in last
