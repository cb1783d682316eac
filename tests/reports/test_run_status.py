"""`status` as people and programs see it: table in any width, plain lines, JSON."""

import io
import json
from typing import Any

import pytest
from rich.console import Console

from posttrain.paths import RunPaths
from posttrain.reports import numbers
from posttrain.reports.status import print_status
from posttrain.reports.table import STYLES, trial_table
from posttrain.reports.trials import read_sweep
from tests.reports.conftest import GATED, STOPPED


def _show(run: RunPaths, width: int, height: int | None = None) -> list[str]:
    console = Console(width=width, file=io.StringIO(), force_terminal=True, color_system=None, record=True)
    console.print(trial_table(read_sweep(run), width, height))
    return console.export_text().splitlines()


def _split_at_reasons(lines: list[str]) -> tuple[list[str], list[str]]:
    """The table with its legend, and the reasons below them."""
    end = next((i for i, line in enumerate(lines) if not line.strip()), len(lines))
    return lines[:end], lines[end + 1 :]


def _line(lines: list[str], trial_id: str) -> str:
    return next(line for line in lines if line.startswith(trial_id))


@pytest.mark.parametrize("width", [60, 80, 100, 120, 160, 220])
def test_no_width_hides_a_trial_its_status_or_its_numbers(live_run: RunPaths, width: int) -> None:
    lines = _show(live_run, width)
    assert all(len(line) <= width for line in lines)
    table, _ = _split_at_reasons(lines)
    statuses = {line[:5]: line.split()[1] for line in table if line.startswith("t000")}
    assert statuses == {
        "t0000": "baseline",
        "t0001": "completed",
        "t0002": "stopped",
        "t0003": "gated",
        "t0004": "failed",
        "t0005": "completed",
        "t0006": "training",
    }
    best = _line(lines, "t0001*")
    assert "60/60" in best
    assert "0.3120" in best
    assert "-24.3%" in best
    assert "+9.5%" in _line(lines, "t0005")
    text = " ".join(" ".join(lines).split())
    assert "lower is better" in text
    assert "5 of 8 trials ended" in text
    assert "t0001 at step 56" in text


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_a_parameter_is_shown_or_named_as_not_shown(run: RunPaths, width: int) -> None:
    text = " ".join(" ".join(_split_at_reasons(_show(run, width))[0]).split())
    shown = text.split("too narrow for:")[0]
    for name, path in {"lr": "training.learning_rate", "broad.weights": "data.stages.broad.weights"}.items():
        assert (f"{name} = {path}" in shown) != (path in text.removeprefix(shown))
    assert (" rank " in shown) != ("strategy.rank" in text.removeprefix(shown))


@pytest.mark.parametrize("width", [60, 80, 100, 120, 160])
def test_reasons_are_whole_in_any_width(run: RunPaths, width: int) -> None:
    table, reasons = _split_at_reasons(_show(run, width))
    told = " ".join(" ".join(reasons).split())
    assert f"t0002 {STOPPED}" in told
    assert f"t0003 {GATED}" in told
    assert "t0004 loss is NaN at step 18" in told
    assert "loss" not in " ".join(table[4:-4]), "a row is one line"


def test_a_reason_that_several_trials_share_stands_there_once(builder: Any) -> None:
    gated = "not learned by heart (ratio {}, at most 0.35); raise training.learning_rate ({})"
    for number, (ratio, rate) in {3: (0.4, 1e-4), 7: (0.5, 0.002), 8: (0.6, 0.003), 9: (0.7, 0.004)}.items():
        builder.result(f"t{number:04d}", "gated", reason=gated.format(ratio, rate))
    for number in (4, 5, 10):
        builder.result(f"t{number:04d}", "stopped", reason="asha: not among the best at step 40")
    _, reasons = _split_at_reasons(_show(builder.run, 110))
    assert [line.rstrip() for line in reasons] == [
        "t0003, t0007-t0009   not learned by heart (ratio 0.4, at most 0.35); raise training.learning_rate (0.0001)",
        "                     (numbers of t0003)",
        "t0004, t0005, t0010  asha: not among the best at step 40",
    ]


def test_a_trial_in_its_gate_is_told_from_one_that_trains(live_run: RunPaths) -> None:
    gate = live_run.trial("t0007")
    gate.root.mkdir()
    gate.trial_yaml.write_text("overfit: {samples: 4}\n")
    table, _ = _split_at_reasons(_show(live_run, 100))
    assert _line(table, "t0006").split()[1:3] == ["training", "30/60"]
    assert _line(table, "t0007").split()[1:3] == ["gate", "-"]
    gate.overfit_json.write_text("{}")
    assert _line(_show(live_run, 100), "t0007").split()[1:3] == ["training", "0/60"]


def test_a_live_display_never_grows_beyond_its_limit(builder: Any) -> None:
    builder.result("t0000", "completed", 0.5)
    for number in range(1, 41):
        builder.result(f"t{number:04d}", "completed", 0.5 - 0.01 * (number == 7))
    lines = _show(builder.run, 100, height=21)
    assert len(lines) <= 21
    ids = [line.split()[0] for line in lines if line.startswith("t0")]
    assert len(ids) == 8
    assert ids[:2] == ["t0000", "t0001"]
    assert "t0007*" in ids
    assert "t0040" in ids
    assert "33 more trials not shown" in [line.rstrip() for line in lines]


def test_reasons_of_a_live_display_take_the_lines_that_are_left(builder: Any) -> None:
    letters = "abcdefghijklmnopqrst"
    for number, letter in enumerate(letters, start=1):
        builder.result(f"t{number:04d}", "failed", reason=f"{letter} went wrong")
    lines = _show(builder.run, 100, height=26)
    assert len(lines) <= 26
    table, reasons = _split_at_reasons(lines)
    assert sum(line.startswith("t00") for line in table) == 14
    assert reasons[-2].split() == ["t0020", "t", "went", "wrong"], "the newest ones"
    assert reasons[-1].startswith("10 more reasons not shown")
    assert len(reasons) <= 6


def test_plain_lines_where_there_is_no_terminal(run: RunPaths) -> None:
    out = io.StringIO()
    print_status(run, Console(file=out, width=20))
    head, *lines = out.getvalue().splitlines()
    assert head.endswith("held_out/loss: lower is better")
    assert len(lines) == 7, "one line a trial, in whatever width"
    assert lines[1] == (
        "t0001  completed  step 60/60  held_out/loss 0.3120  vs base -0.100 (-24.3%)  best  "
        "lr=1.23e-4  rank=16  broad.weights=cctv:.5/ego:.5"
    )
    assert lines[3].endswith(
        "| overfit test: the loss did not close (0.12 of 0.5 wanted). The learning rate is "
        "too low for 60 steps: raise training.learning_rate"
    )
    assert "\x1b" not in out.getvalue()


def test_json_is_one_document_and_nothing_else(live_run: RunPaths) -> None:
    out = io.StringIO()
    print_status(live_run, Console(file=out, width=20), as_json=True)
    document = json.loads(out.getvalue(), parse_constant=pytest.fail)
    assert (document["status"], document["active"], document["planned"]) == ("running", True, 8)
    assert document["best"]["trial"] == "t0001"
    assert document["trials"][0]["delta"] == pytest.approx(-0.10005)
    assert (document["trials"][5]["status"], document["trials"][5]["phase"]) == ("running", "training")
    assert document["trials"][0]["phase"] is None


def test_a_run_that_has_just_begun_can_be_shown(builder: Any) -> None:
    text = " ".join(_show(builder.run, 80))
    assert "0 of 8 trials ended" in text


def test_text_from_outside_is_no_markup(builder: Any) -> None:
    builder.result("t0001", "failed", reason="[red]weights[/red] of [a, b] do not fit [/]")
    assert "[red]weights[/red] of [a, b] do not fit [/]" in " ".join(_show(builder.run, 160))


def test_every_status_has_a_style() -> None:
    known = {"completed", "stopped", "gated", "failed", "running", "interrupted", "unreadable", "baseline"}
    assert known | {"starting", "waiting", "gate", "training", "evaluating"} == set(STYLES)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.31205, "0.3120"), (1.0, "1.000"), (1234.5, "1234"), (24.98765, "24.99"), (1e-5, "1.000e-5"), (None, "-")],
)
def test_values_have_four_digits(value: float | None, shown: str) -> None:
    assert numbers.significant(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1.23456e-4, "1.23e-4"),
        (1e-5, "1e-5"),
        (0.05, "0.05"),
        (0.12345, "0.123"),
        (16, "16"),
        (True, "True"),
        ("cosine", "cosine"),
        (None, "-"),
        (0.0, "0"),
        (1.0, "1"),
        ({"b": 0.25, "a": 0.75}, ".75/.25"),
        ({"b": 1.0, "a": 0.0}, "0/1"),
    ],
)
def test_parameters_have_three_digits(value: object, shown: str) -> None:
    assert numbers.parameter(value) == shown


def test_short_names_are_unique() -> None:
    paths = [
        "training.learning_rate",
        "data.stages.broad.weights",
        "data.stages.fine.weights",
        "strategy.rank",
        "a.b.seed",
        "a.c.seed",
    ]
    assert list(numbers.short_names(paths).values()) == [
        "lr",
        "broad.weights",
        "fine.weights",
        "rank",
        "b.seed",
        "c.seed",
    ]


def test_differences_and_durations() -> None:
    assert numbers.difference(-0.1, 0.4) == "-0.100 (-25.0%)"
    assert numbers.difference(0.5, 0.0) == "+0.500"
    assert numbers.difference(None, 1.0) == "-"
    assert numbers.difference(2.0, -4.0) == "+2.00 (+50.0%)"
    assert [numbers.duration(s) for s in (41.6, 185, 7620)] == ["42 s", "3 min 05 s", "2 h 07 min"]
