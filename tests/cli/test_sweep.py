"""What `posttrain sweep` makes of a run in which nothing remains to be done: no Ray, and a truthful status."""

import json
from pathlib import Path

import pytest
from optuna import Trial

from posttrain import cli
from posttrain.paths import RunPaths
from posttrain.sweep.study import StudyBook
from posttrain.sweep.suggest import make_samplers

SWEEP = """\
name: gated
model: {checkpoint: tiny:predict2.5}
strategy: {type: lora}
data: {sources: {high: {path: demo:shapes/fixed-high}}}
training: {steps: 8, batch_size: 4, learning_rate: 1e-4}
search_space: {training.learning_rate: {loguniform: [1e-5, 1e-3]}}
search: {trials: 3}
"""
REASON = "the fit hardly moved; raise training.learning_rate"
NOBODY = "127.0.0.1:9"  # an address of a cluster that is not there


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunPaths:
    """All trials of `gated.yaml` have ended in its study: they were gated."""
    monkeypatch.chdir(tmp_path)
    Path("gated.yaml").write_text(SWEEP, encoding="utf-8")
    run = RunPaths(Path("runs/gated"))
    run.trial("t0000").root.mkdir(parents=True)
    run.trial("t0000").result_json.write_text('{"status": "completed"}', encoding="utf-8")

    def suggest(trial: Trial) -> dict[str, float]:
        return {"training.learning_rate": trial.suggest_float("training.learning_rate", 1e-5, 1e-3, log=True)}

    sampler = make_samplers("random", seed=0, trials=3)
    book = StudyBook(run.study_journal, "gated", mode="min", suggest=suggest, make_sampler=sampler)
    for _ in range(3):
        book.tell(book.draw().id, "gated", None, REASON)
    return run


def test_a_sweep_without_a_winner_says_so(run: RunPaths, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["sweep", "gated.yaml", "--address", NOBODY]) == 1
    out, err = capsys.readouterr()
    assert json.loads(run.summary_json.read_text())["status"] == "no_winner"
    assert err.startswith("error: no winner: no trial has a value; the reasons above say what to change in the file.")
    assert out.count(REASON) == 1, "a reason stands there once"
    assert out.count("same reason as t0001") == 2
    assert cli.run(["status", str(run.root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "no_winner"


def test_a_start_that_fails_leaves_what_the_run_had_come_to(run: RunPaths, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["sweep", "gated.yaml", "--address", NOBODY]) == 1
    summary = run.summary_json.read_bytes()
    assert cli.run(["sweep", "gated.yaml", "search.trials=4", "--address", NOBODY]) == 4
    assert "cannot be used" in capsys.readouterr().err
    assert run.summary_json.read_bytes() == summary
