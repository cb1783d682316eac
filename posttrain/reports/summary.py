"""summary.json: what a run came to, computed from its directory alone.

The sweep writes it when it ends or is interrupted (`write_summary`); `build_summary` gives the same for a run
whose driver was killed before it could. Values are the objective's at each trial's best step; every number is
a plain JSON number or null, never NaN.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from posttrain.paths import RunPaths, write_json_atomic
from posttrain.reports.trials import RANKED, SweepView, TrialRow, read_sweep
from posttrain.tracking.metrics import as_finite

COMPLETED = "completed"
"""The sweep has ended and has a winner."""
NO_WINNER = "no_winner"
"""The sweep has ended, and no trial has a value: all were gated or failed, or nothing in the space can learn."""
INTERRUPTED = "interrupted"
"""Trials have not ended; running the sweep again resumes."""
FAILED = "failed"
"""The sweep could not go on."""


@dataclass(frozen=True)
class EndedSummary:
    """What a run had come to before it was started again."""

    trials: Mapping[str, str]

    def still_holds(self, view: SweepView) -> bool:
        """Return whether no trial was begun or has changed since."""
        return self.trials == _statuses(view)


def ended_summary(run: RunPaths) -> EndedSummary | None:
    """Return what a run had come to; None where it had not ended, or was never started."""
    if _said_status(run) not in (COMPLETED, NO_WINNER):
        return None
    return EndedSummary(_statuses(read_sweep(run)))


def _statuses(view: SweepView) -> dict[str, str]:
    return {row.id: row.status for row in view.rows}


def build_summary(run: RunPaths) -> dict[str, Any]:
    """Return the summary of a run directory. Raises ConfigError where the folder is no run.

    `status` is what the sweep said last in summary.json, unless it is plainly otherwise now: "running" while
    a live process holds the run's lock, "interrupted" where there are trials that have not ended.
    """
    return summarize(run, read_sweep(run))


def write_summary(run: RunPaths, *, status: str, seconds: Mapping[str, float] | None = None) -> dict[str, Any]:
    """Write summary.json and return it.

    status: the sweep's own: COMPLETED, NO_WINNER, INTERRUPTED or FAILED.
    seconds: time of the sweep's own phases ({"data": 3.1, "search": 512.0}), beside those that trials report.
    """
    summary = summarize(run, read_sweep(run)) | {"status": status}
    summary["seconds"] = summary["seconds"] | {phase: float(span) for phase, span in (seconds or {}).items()}
    write_json_atomic(run.summary_json, summary)
    return summary


def summarize(run: RunPaths, view: SweepView) -> dict[str, Any]:
    """Return the summary of a view that has been read already."""
    return {
        "status": _status(run, view),
        "objective": {"metric": view.metric, "mode": view.mode},
        "baseline": _baseline(view),
        "best": _best(view),
        "metrics": _best_per_metric(view.trials),
        "trials": [_trial(row) for row in view.trials],
        "counts": view.counts,
        "seconds": _seconds(view.rows),
    }


def _status(run: RunPaths, view: SweepView) -> str:
    if view.active:
        return "running"
    if any(row.status == "interrupted" for row in view.rows):
        return INTERRUPTED
    return _said_status(run) or INTERRUPTED


def _said_status(run: RunPaths) -> str | None:
    try:
        said = json.loads(run.summary_json.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return said.get("status") if isinstance(said, dict) else None


def _baseline(view: SweepView) -> dict[str, float | None]:
    row = view.baseline
    if row is None:
        return {}
    values = {name: as_finite(numbers.get("best")) for name, numbers in row.metrics.items()}
    return values if view.metric in values else values | {view.metric: row.value}


def _best(view: SweepView) -> dict[str, Any] | None:
    row = view.best
    if row is None:
        return None
    return {
        "trial": row.id,
        "value": row.value,
        "step": row.value_step,
        "baseline": view.baseline.value if view.baseline else None,
        "delta": view.delta(row),
        "parameters": dict(row.parameters),
    }


def _best_per_metric(rows: Iterable[TrialRow]) -> dict[str, dict[str, Any]]:
    """Return each metric's best trial: the winner of one metric need not be that of another."""
    winners: dict[str, dict[str, Any]] = {}
    for row in rows:
        for name, numbers in row.metrics.items() if row.status in RANKED else ():
            value, mode = as_finite(numbers.get("best")), numbers.get("mode", "min")
            sign = -1.0 if mode == "max" else 1.0
            if value is not None and (name not in winners or sign * value < sign * winners[name]["value"]):
                winners[name] = {
                    "trial": row.id,
                    "value": value,
                    "step": numbers.get("best_step"),
                    "mode": mode,
                }
    return winners


def _trial(row: TrialRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "status": row.status,
        "reason": row.reason,
        "parameters": dict(row.parameters),
        "value": row.value,
        "steps": row.step,
        "seconds": sum(row.seconds.values()),
    }


def _seconds(rows: Iterable[TrialRow]) -> dict[str, float]:
    total: dict[str, float] = {}
    for row in rows:
        for phase, span in row.seconds.items():
            total[phase] = total.get(phase, 0.0) + span
    return total
