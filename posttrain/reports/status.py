"""`posttrain status RUN`: a run's trials as a table, plain lines without a terminal, or as JSON."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console

from posttrain.paths import RunPaths
from posttrain.reports.reasons import Printed
from posttrain.reports.summary import summarize
from posttrain.reports.table import plain_lines, trial_table
from posttrain.reports.trials import SweepView, read_sweep


def print_status(run: RunPaths, console: Console, as_json: bool = False) -> None:
    """Print a run's state.

    With `as_json`, one JSON document and nothing else. Raises ConfigError if it is no run.
    """
    view = read_sweep(run)
    if as_json:
        # not through rich, which wraps and colours
        print(
            json.dumps(status_json(run, view), indent=2, ensure_ascii=False, allow_nan=False),
            file=console.file,
        )
    else:
        print_view(view, console)


def print_view(view: SweepView, console: Console, printed: Printed | None = None) -> None:
    """Print a view as a table, or as plain lines where the console is no terminal.

    `printed` holds the reasons that plain output has shown before: they are not repeated.
    """
    if console.is_terminal:
        console.print(trial_table(view, console.width))
    else:
        for line in plain_lines(view, printed):
            print(line, file=console.file)


def status_json(run: RunPaths, view: SweepView) -> dict[str, Any]:
    """Return the document of `status --json`: summary.json's shape, and what only a live run has."""
    summary = summarize(run, view)
    for entry, row in zip(summary["trials"], view.trials, strict=True):
        entry["phase"] = row.phase or None
        entry["delta"] = view.delta(row)
        entry["value_step"] = row.value_step
    return {
        "name": view.name,
        "active": view.active,
        "planned": view.planned,
        "planned_steps": view.steps,
        **summary,
    }
