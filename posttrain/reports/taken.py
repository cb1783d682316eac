"""The trial that `posttrain train --from RUN --trial ID` takes: its configuration, and what the run tells of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posttrain.errors import ConfigError, NoAnswer
from posttrain.paths import RunPaths
from posttrain.reports.trials import SweepView, TrialRow, read_sweep


@dataclass(frozen=True)
class TakenTrial:
    """A trial of an earlier run.

    Attributes:
        parameters: what the search drew for it, by configuration path.
        objective: metric and mode of its sweep.
        was_trained: whether it passed its gate, or had none, and took a step.
        base_dir: where relative paths of its configuration start; None where the run does not record it.
    """

    run: RunPaths
    id: str
    parameters: Mapping[str, Any]
    objective: Mapping[str, str]
    was_trained: bool
    base_dir: Path | None

    @property
    def trial_yaml(self) -> Path:
        """Its whole configuration."""
        return self.run.trial(self.id).trial_yaml


def take_trial(run: RunPaths, trial_id: str) -> TakenTrial:
    """Finds a trial by its id, or the run's `best`; it may have ended in any way.

    Raises:
        ConfigError: the folder is no run, or has no such trial.
        NoAnswer: `best` is asked for, and no trial has a value.
    """
    view = read_sweep(run)
    row = _row(run, view, trial_id)
    return TakenTrial(
        run=run,
        id=row.id,
        parameters=row.parameters,
        objective={"metric": view.metric, "mode": view.mode},
        was_trained=bool(row.step),
        base_dir=_base_dir(run),
    )


def _row(run: RunPaths, view: SweepView, trial_id: str) -> TrialRow:
    if trial_id == "best":
        if view.best is None:
            raise NoAnswer(f"{run.root} has no winner: no trial has a value; see `posttrain status {run.root}`")
        return view.best
    usable = {row.id: row for row in view.trials if run.trial(row.id).trial_yaml.is_file()}
    if trial_id not in usable:
        hint = f"it has {', '.join(usable)}" if usable else "none has begun yet"
        raise ConfigError.single("--trial", f"{run.root} has no trial {trial_id!r} that was configured", hint)
    return usable[trial_id]


def _base_dir(run: RunPaths) -> Path | None:
    recorded = _json(run.environment_json).get("base_dir")
    return Path(recorded) if isinstance(recorded, str) else None


def _json(path: Path) -> dict[str, Any]:
    """A JSON object; an empty one where the file is missing or damaged."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}
