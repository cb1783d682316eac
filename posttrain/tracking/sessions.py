"""What the sweep's driver says to TensorBoard's HParams table, in the driver's own words.

    table = HParamsTable(run, config, space)
    table.create()                                  once, before the first trial; again after a restart
    table.started("t0007", trial_config, drawn)     before the trial is handed to a worker
    table.ended(result, trial_config, baseline)     after the worker's last report; `result` is result.json

Every call replaces what it wrote before, so a restarted driver may simply call `ended` again for all trials
that have a result.json, and nothing is doubled. How the records look is in hparams.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from posttrain.config.space import Dimension
from posttrain.paths import RunPaths
from posttrain.tracking.columns import (
    BASELINE_ID,
    Objective,
    Value,
    column_values,
    metric_tags,
    table_columns,
)
from posttrain.tracking.hparams import Session, write_experiment, write_session
from posttrain.tracking.metrics import Measured, as_finite

if TYPE_CHECKING:
    from posttrain.config import SingleConfig, SweepConfig, TrialConfig


class HParamsTable:
    """The table of one run. Keeps nothing in memory that is not in the configuration."""

    def __init__(self, run: RunPaths, config: SweepConfig | SingleConfig, space: Mapping[str, Dimension]) -> None:
        self._run = run
        self._config = config
        self._columns = table_columns(config, space)
        self._objective = Objective(config.search.objective.metric, config.search.objective.mode)

    def create(self) -> None:
        """Write the columns."""
        write_experiment(self._run.root, self._columns, self._objective, metric_tags(self._config))

    def started(self, trial_id: str, config: TrialConfig, parameters: Mapping[str, Any]) -> None:
        """Show a trial as under way. Call it again when an interrupted trial is resumed."""
        self._write(trial_id, Session(self._group(trial_id), self._cells(trial_id, config, parameters)))

    def ended(self, result: Mapping[str, Any], config: TrialConfig, baseline: float | None) -> None:
        """Show how a trial ended. `baseline` is the base model's objective, None where it is not known.

        A result whose status is `interrupted` is no end: the trial is shown as under way.
        """
        trial_id = result["id"]
        parameters = self._cells(trial_id, config, result["parameters"])
        if result["status"] == "interrupted":
            self._write(trial_id, Session(self._group(trial_id), parameters))
            return
        objective = result.get("objective") or {}
        value = as_finite(objective.get("value"))
        measured = None if value is None else Measured(value, int(objective["step"]))
        session = Session(
            group=self._group(trial_id),
            parameters=parameters,
            ended=True,
            status=result["status"],
            reason=result.get("reason") or "",
            objective=measured,
            delta=None if value is None or baseline is None else value - baseline,
        )
        self._write(trial_id, session)

    def _cells(self, trial_id: str, config: TrialConfig, parameters: Mapping[str, Any]) -> dict[str, Value]:
        cells = column_values(self._columns, config, parameters)
        if trial_id == BASELINE_ID:  # nothing is trained, so settings of the training would mislead
            return {name: value for name, value in cells.items() if name.startswith("model.")}
        return cells

    def _group(self, trial_id: str) -> str:
        # unique over the runs of one log directory: TensorBoard merges sessions of one group name
        return f"{self._config.name}/{trial_id}"

    def _write(self, trial_id: str, session: Session) -> None:
        write_session(self._run.trial(trial_id).root, session, self._objective)
