"""Reads a run directory into one view: a row per trial, with its status, objective, parameters and reason.

A trial that has ended has a result.json, and that is the row. One that has not is told from its metrics.jsonl
and trial.yaml; it is `running` while the run's lock is held and `interrupted` otherwise (running the sweep
again resumes it). What cannot be read becomes a row that says so: a status command must not fail for one
broken file.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from posttrain.errors import ConfigError, PosttrainError
from posttrain.paths import RunPaths, TrialPaths
from posttrain.tracking import metrics
from posttrain.tracking.columns import BASELINE_ID, lookup
from posttrain.tracking.metrics import Mode, as_finite

# A trial with one of these has a value that was reached by training on a configuration that works.
RANKED = ("completed", "stopped")


@dataclass(frozen=True)
class TrialRow:
    """One trial as people see it.

    `value` is the objective at its best step, None where it has none that is finite. `phase` says what a running trial
    is at: `gate` or `training`, and in a live display more than that; `phase_steps` is how many steps the phase has,
    None where they are those of the training. `node` is the machine that the trial ran on.
    """

    id: str
    status: str
    reason: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    value: float | None = None
    value_step: int | None = None
    step: int | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    phase: str = ""
    phase_steps: int | None = None
    node: str | None = None

    @property
    def is_baseline(self) -> bool:
        """Return whether this is the base model, which is evaluated as trial 0."""
        return self.id == BASELINE_ID


@dataclass(frozen=True)
class SweepView:
    """All trials of a sweep and what is needed to read their numbers.

    `planned` trials of `steps` steps each, as the sweep file says; None where that is not known.
    """

    name: str
    metric: str
    mode: Mode
    rows: tuple[TrialRow, ...]
    planned: int | None = None
    steps: int | None = None
    active: bool = False

    @property
    def baseline(self) -> TrialRow | None:
        """Return the base model's row, if it has been evaluated."""
        return next((row for row in self.rows if row.is_baseline), None)

    @property
    def trials(self) -> list[TrialRow]:
        """Return the rows of trained configurations: all but the baseline."""
        return [row for row in self.rows if not row.is_baseline]

    @property
    def best(self) -> TrialRow | None:
        """Return the best trial that completed or was stopped as a loser.

        Never the baseline, a gated or failed one.
        """
        return next(iter(self.ranked), None)

    @property
    def ranked(self) -> list[TrialRow]:
        """Return the completed and stopped trials that have a value, the best one first."""
        sign = 1.0 if self.mode == "min" else -1.0
        valued = [(sign * row.value, row) for row in self.trials if row.status in RANKED and row.value is not None]
        return [row for _, row in sorted(valued, key=lambda pair: (pair[0], pair[1].id))]

    @property
    def counts(self) -> dict[str, int]:
        """Return how many trials have each status, the baseline left out."""
        counts: dict[str, int] = {}
        for row in self.trials:
            counts[row.status] = counts.get(row.status, 0) + 1
        return dict(sorted(counts.items()))

    def delta(self, row: TrialRow) -> float | None:
        """Return the row's objective minus the base model's.

        None where either has none, and for the baseline.
        """
        base = self.baseline
        if row.is_baseline or row.value is None or base is None or base.value is None:
            return None
        return row.value - base.value


def read_sweep(run: RunPaths) -> SweepView:
    """Return the view of a run directory. Raises ConfigError where the folder is no run."""
    if not run.sweep_yaml.exists() and not run.trials.is_dir():
        missing = "it is a file, not a folder" if run.root.exists() else "there is no such folder"
        found = "it has neither sweep.yaml nor trials/" if run.root.is_dir() else missing
        hint = "Runs are kept under runs/<name of the sweep>/"
        raise ConfigError.single(str(run.root), f"not a run directory: {found}", hint)
    sweep = _read_yaml(run.sweep_yaml)
    results = _read_results(run)
    metric, mode = _objective(sweep, results)
    active = is_active(run)
    rows = [
        _ended(trial_id, result)
        if result is not None
        else _open(run, trial_id, sweep, metric=metric, mode=mode, active=active)
        for trial_id, result in results.items()
    ]
    return SweepView(
        name=str(sweep.get("name", run.root.name)),
        metric=metric,
        mode=mode,
        rows=tuple(rows),
        planned=lookup(sweep, "search.trials"),
        steps=lookup(sweep, "training.steps"),
        active=active,
    )


def is_active(run: RunPaths) -> bool:
    """Return whether a live process holds the run's lock (flock.

    The system lets go of it when the holder dies).
    """
    try:
        with run.lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no lock, or one that we may not open: nobody can be told to hold it
        return False
    return False


def _read_results(run: RunPaths) -> dict[str, dict[str, Any] | None]:
    """Return result.json of each trial by id; None for a trial that has not ended."""
    folders = sorted(path for path in run.trials.glob("t*") if path.is_dir()) if run.trials.is_dir() else []
    return {folder.name: _read_result(run.trial(folder.name)) for folder in folders}


def _read_result(trial: TrialPaths) -> dict[str, Any] | None:
    try:
        result = json.loads(trial.result_json.read_text(encoding="utf-8"))
        if not isinstance(result, dict):
            raise ValueError("not an object")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        return {"status": "unreadable", "reason": f"{trial.result_json}: {error}"}
    # `interrupted` is not an end: whether the trial goes on now is told by the lock
    return None if result.get("status") == "interrupted" else result


def _ended(trial_id: str, result: Mapping[str, Any]) -> TrialRow:
    objective = result.get("objective") or {}
    value = as_finite(objective.get("value"))
    return TrialRow(
        id=trial_id,
        status=str(result.get("status", "unreadable")),
        reason=str(result.get("reason") or ""),
        parameters=result.get("parameters") or {},
        value=value,
        value_step=objective.get("step") if value is not None else None,
        step=result.get("steps"),
        seconds=result.get("seconds") or {},
        metrics=result.get("metrics") or {},
        node=result.get("node"),
    )


def _open(run: RunPaths, trial_id: str, sweep: Mapping[str, Any], *, metric: str, mode: Mode, active: bool) -> TrialRow:
    trial = run.trial(trial_id)
    try:
        config = _read_yaml(trial.trial_yaml)
        records = metrics.read(trial.metrics_jsonl)
    except PosttrainError as error:
        return TrialRow(id=trial_id, status="unreadable", reason=str(error))
    searched = sweep.get("search_space") or {}
    drawn = {path: lookup(config, path) for path in searched} if trial_id != BASELINE_ID else {}
    best = metrics.best(metrics.series(records, metric), mode)
    # the verdict is written when the gate has ended, the first record when the training is under way
    in_gate = not records and bool(config.get("overfit")) and not trial.overfit_json.is_file()
    return TrialRow(
        id=trial_id,
        status="running" if active else "interrupted",
        reason="" if active else "the same command again resumes it",
        parameters={path: value for path, value in drawn.items() if value is not None},
        value=best.value if best else None,
        value_step=best.step if best else None,
        step=None if in_gate else max((record["step"] for record in records), default=0),
        phase="" if not active else "gate" if in_gate else "training",
    )


def _objective(sweep: Mapping[str, Any], results: Mapping[str, Mapping[str, Any] | None]) -> tuple[str, Mode]:
    said: Iterable[Any] = [
        lookup(sweep, "search.objective"),
        *((result or {}).get("objective") for result in results.values()),
    ]
    for objective in said:
        if isinstance(objective, Mapping) and "metric" in objective:
            return str(objective["metric"]), "max" if objective.get("mode") == "max" else "min"
    return "held_out/loss", "min"  # the default of the sweep file


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise PosttrainError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    return content if isinstance(content, dict) else {}
