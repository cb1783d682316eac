"""What a sweep shows while it runs, from notes and a run directory."""

import dataclasses
import fcntl
import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from posttrain.cli.activity import SweepActivity
from posttrain.cli.display import LiveDisplay
from posttrain.paths import RunPaths
from posttrain.reports.trials import SweepView, TrialRow

COMPLETED = {"gate": 10.0, "training": 40.0, "evaluation": 10.0}


def view(*rows: TrialRow, planned: int = 4) -> SweepView:
    return SweepView("s", "held_out/loss", "min", rows, planned=planned, steps=60, active=True)


def running(trial_id: str, step: int | None = None) -> TrialRow:
    return TrialRow(trial_id, "running", step=step, phase="gate" if step is None else "training")


def ended(trial_id: str, status: str = "completed", node: str = "here", **seconds: float) -> TrialRow:
    return TrialRow(trial_id, status, step=60, seconds=seconds or COMPLETED, node=node)


@pytest.fixture
def activity() -> SweepActivity:
    return SweepActivity(began=0.0, node="here")


def test_the_line_says_what_goes_on_and_for_how_long(activity: SweepActivity) -> None:
    assert activity.hear("prepare", {"doing": "starting Ray"}, 1.0)
    assert activity.line(None, 13.0) == "0:13 elapsed | starting Ray, 0:12"
    assert activity.hear("prepare", {"doing": "encoding clips", "done": 8, "total": 96}, 20.0)
    assert not activity.hear("prepare", {"doing": "encoding clips", "done": 16, "total": 96}, 22.0), "nothing new"
    assert activity.line(None, 25.0) == "0:25 elapsed | encoding clips, 16 of 96, 0:05"
    assert not activity.hear("prepare", {"doing": ""}, 26.0)
    assert activity.line(None, 27.0) == "0:27 elapsed"


def test_a_trial_is_shown_at_what_it_does(activity: SweepActivity) -> None:
    shown = view(running("t0001"), running("t0002"), running("t0003", 20), ended("t0004", node="there"))

    def phases() -> list[tuple[str, int | None, int | None]]:
        return [(row.phase, row.step, row.phase_steps) for row in activity.overlaid(shown).rows[:3]]

    activity.trial("t0001", "running", 0.0)
    activity.trial("t0002", "running", 0.0)
    assert phases() == [("starting", None, None)] * 2 + [("waiting", 20, None)], "no slot has taken up t0003 again"
    activity.hear("t0001", {"doing": "loading the model"}, 5.0)
    activity.hear("t0002", {"phase": "gate", "step": 20, "steps": 80}, 5.0)
    assert phases()[:2] == [("starting", None, None), ("gate", 20, 80)]
    assert activity.line(shown, 9.0, with_trials=True) == (
        "0:09 elapsed | t0001: loading the model, 0:04 | 1 of 4 trials ended | t0001 starting, t0002 gate 20/80"
    )
    activity.hear("t0001", {"phase": "training", "step": 40, "steps": 60}, 10.0)
    activity.hear("t0001", {"step": 40, "train/steps_per_second": 2.5}, 10.0)
    assert phases()[0] == ("training", 40, 60)
    assert activity.line(shown, 11.0).startswith("0:11 elapsed | 2.5 steps/s over 1 trial")
    activity.hear("t0001", {"phase": "evaluating", "step": 50, "steps": 60}, 12.0)
    assert "steps/s" not in activity.line(shown, 13.0)
    activity.trial("t0001", "completed", 20.0)
    activity.trial("t0002", "retrying", 20.0)
    assert phases()[1] == ("waiting", None, None)


def test_time_left_is_of_trials_that_this_start_ended(activity: SweepActivity) -> None:
    earlier, other = ended("t0001", gate=400.0), ended("t0002", node="elsewhere", gate=9000.0)
    rest = running("t0003")
    activity.trial("t0003", "running", 1000.0)
    activity.hear("t0003", {"phase": "gate"}, 1000.0)
    assert activity.seconds_left(view(other, rest), 1000.0) is None, "another machine's trials tell nothing"
    assert activity.seconds_left(view(earlier, other, rest), 1000.0) == 400.0 + 400.0
    activity.trial("t0004", "completed", 1100.0)
    both = view(earlier, other, rest, ended("t0004"), planned=5)
    assert activity.seconds_left(both, 1000.0) == 60.0 + 60.0, "what this start ended says more"
    activity.slots = 2
    assert activity.seconds_left(both, 1000.0) == 60.0


def test_start_up_is_no_part_of_the_time_left(activity: SweepActivity) -> None:
    activity.trial("t0001", "running", 500.0)
    activity.hear("t0001", {"phase": "training", "step": 0, "steps": 60}, 530.0)
    activity.hear("t0001", {"phase": "training", "step": 30, "steps": 60}, 560.0)
    assert activity.seconds_left(view(running("t0001", 30), planned=1), 560.0) == pytest.approx(30.0)
    activity.hear("t0001", {"phase": "training", "step": 59, "steps": 60}, 589.0)
    assert activity.seconds_left(view(running("t0001", 59), planned=1), 589.0) == pytest.approx(1.0)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunPaths]:
    """A run directory with the lock that a driver at work holds."""
    run = RunPaths(tmp_path / "s")
    run.trials.mkdir(parents=True)
    run.sweep_yaml.write_text("{name: s, training: {steps: 60}, search: {trials: 4}}", encoding="utf-8")
    with run.lock.open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield run


def write(run: RunPaths, trial_id: str, text: str) -> None:
    run.trial(trial_id).root.mkdir(exist_ok=True)
    run.trial(trial_id).result_json.write_text(text, encoding="utf-8")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of a second counts as fifteen."""
    monkeypatch.setattr("posttrain.cli.progress.TICK_S", 0.02)
    for module in ("progress", "display"):
        monkeypatch.setattr(f"posttrain.cli.{module}.LINES_EVERY_S", 0.1)


@pytest.mark.usefixtures("quick")
def test_a_pipe_has_a_line_for_each_event_and_one_now_and_then(run: RunPaths) -> None:
    out = io.StringIO()
    with LiveDisplay(Console(file=out, width=40)) as display:
        display.starting()
        display.watch(run)
        display.progress("data", {"doing": "reading high", "done": 3, "total": 9})
        time.sleep(0.4)
        display.progress("data", {"doing": ""})
        display.progress("prepare", {"doing": "loading the model (tiny:predict2.5)"})
        display.progress("prepare", {"gate": "the file's own configuration", "passed": False, "reason": "too low"})
        for number in (1, 2):
            display.trial(f"t000{number}", "running")
            write(run, f"t000{number}", '{"status": "gated", "reason": "too low", "steps": 0}')
            display.trial(f"t000{number}", "gated")
    lines = out.getvalue().splitlines()
    beats = [line for line in lines if "elapsed" in line]
    assert beats[0].startswith("0:00 elapsed | reading high, 3 of 9, 0:0")
    assert 1 <= len(beats) <= 5, "at most one in each tenth of a second"
    assert [line for line in lines if line not in beats] == [
        "loading the model (tiny:predict2.5)",
        "gate, the file's own configuration: gated: too low",
        "t0001  gated  step 0/60  | same reason as the gate, the file's own configuration",
        "t0002  gated  step 0/60  | same reason as the gate, the file's own configuration",
    ]


def _terminal(out: io.StringIO, width: int) -> Console:
    return Console(
        file=out, width=width, height=30, force_terminal=True, force_interactive=True, color_system=None, _environ={}
    )


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("width", [80, 100, 120])
def test_a_terminal_has_a_table_that_ticks_by_itself(run: RunPaths, width: int) -> None:
    out = io.StringIO()
    reason = "4 samples are not learned by heart in 80 steps (ratio 0.701, at most 0.35); raise training.learning_rate"
    with LiveDisplay(_terminal(out, width)) as display:
        display.watch(run)
        write(run, "t0001", f'{{"status": "gated", "reason": "{reason}", "steps": 0}}')
        run.trial("t0002").root.mkdir()
        display.trial("t0001", "gated")
        display.trial("t0002", "running")
        display.progress("t0002", {"phase": "gate", "step": 20, "steps": 80})
        begun = out.tell()
        time.sleep(1.5)
        ticked = out.getvalue()[begun:]
        display.note("a line that stays")
    assert "0:01 elapsed" in ticked
    assert any(line.split()[:3] == ["t0002", "gate", "20/80"] for line in ticked.splitlines())
    assert reason in " ".join(ticked.split()), "whole, on as many lines as it takes"
    assert "a line that stays" in out.getvalue()


@pytest.mark.usefixtures("quick")
def test_a_file_that_is_being_replaced_does_not_end_the_display(run: RunPaths) -> None:
    out = io.StringIO()
    with LiveDisplay(_terminal(out, 80)) as display:
        display.watch(run)
        write(run, "t0001", '{"status": "completed"}')
        display.trial("t0001", "completed")
        run.sweep_yaml.write_text("{name: [", encoding="utf-8")
        time.sleep(0.2)
        run.sweep_yaml.write_text("{name: renamed, training: {steps: 60}}", encoding="utf-8")
        deadline = time.monotonic() + 10
        while "renamed: 1 trials ended" not in out.getvalue() and time.monotonic() < deadline:
            time.sleep(0.02)
    assert "renamed: 1 trials ended" in out.getvalue()


def test_a_row_keeps_what_is_on_disk(activity: SweepActivity) -> None:
    row = dataclasses.replace(running("t0001", 20), value=0.5, parameters={"strategy.rank": 8})
    activity.trial("t0001", "running", 0.0)
    activity.hear("t0001", {"phase": "training", "step": 25, "steps": 60}, 1.0)
    (shown,) = activity.overlaid(view(row)).rows
    expected: dict[str, Any] = {"value": 0.5, "parameters": {"strategy.rank": 8}, "step": 25, "phase": "training"}
    assert {key: getattr(shown, key) for key in expected} == expected
