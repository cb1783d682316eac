"""Progress lines: a clock that ticks, and never long without a line."""

import io
import time

import pytest
from rich.console import Console

from posttrain.cli.progress import Doing, Heartbeat, TickingLine, clock, open_console


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time runs faster for the displays."""
    monkeypatch.setattr("posttrain.cli.progress.TICK_S", 0.02)
    monkeypatch.setattr("posttrain.cli.progress.LINES_EVERY_S", 0.1)


def test_clock() -> None:
    assert [clock(seconds) for seconds in (0, 59.4, 61, 3725)] == ["0:00", "0:59", "1:01", "1:02:05"]


def test_an_activity_is_told_with_its_count_and_its_seconds() -> None:
    assert Doing("loading the model", 10.0).line(22.0) == "loading the model, 0:12"
    assert Doing("encoding clips", 10.0, 12, 96).line(17.0) == "encoding clips, 12 of 96, 0:07"
    assert Doing("gate", 10.0, 20, 80, "step").line(31.0) == "gate, step 20 of 80, 0:21"


def test_a_heartbeat_beats_until_its_block_ends() -> None:
    beats: list[float] = []
    with Heartbeat(lambda: beats.append(time.monotonic()), every_s=0.01):
        while len(beats) < 3:
            time.sleep(0.01)
    number = len(beats)
    time.sleep(0.05)
    assert len(beats) == number


@pytest.mark.usefixtures("quick")
def test_plain_output_has_a_line_a_beginning_and_one_now_and_then() -> None:
    out = io.StringIO()
    with TickingLine(Console(file=out, width=40)) as show:
        show("loading the model [tiny]")
        time.sleep(0.5)
        for step in range(50):
            show("training", step, 60, "step")
    lines = out.getvalue().splitlines()
    assert lines[0] == "loading the model [tiny]"
    assert lines[-1] == "training", "steps alone print nothing"
    between = lines[1:-1]
    assert 1 <= len(between) <= 5, "at most one in each 0.1 s"
    assert set(between) <= {"loading the model [tiny], 0:00", "loading the model [tiny], 0:01"}


@pytest.mark.usefixtures("quick")
def test_a_terminal_has_one_line_that_ticks() -> None:
    out = io.StringIO()
    console = Console(file=out, width=60, force_terminal=True, force_interactive=True)
    with TickingLine(console) as show:
        show("loading the model")
        time.sleep(1.2)
    assert "loading the model, 0:00" in out.getvalue()
    assert "loading the model, 0:01" in out.getvalue()


def test_nothing_is_animated_in_a_pipe_or_a_ci_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert not open_console().is_interactive
    terminal = _Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    assert open_console().is_interactive
    monkeypatch.setenv("CI", "true")
    assert not open_console().is_interactive


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True
