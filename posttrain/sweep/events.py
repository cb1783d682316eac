"""What the driver writes when a trial begins and ends: its configuration, its row of the HParams table, its failure.

A worker writes the `result.json` of a trial that it brought to an end. Where it could not (an exception, a dead node)
the driver does, so that every trial has one and readers need nothing else.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from posttrain.config import SingleConfig, SweepConfig, TrialConfig, merge, trial_config, trial_yaml
from posttrain.errors import ConfigError
from posttrain.paths import RunPaths, write_atomic, write_json_atomic
from posttrain.tracking.columns import BASELINE_ID
from posttrain.tracking.results import failure_document, read_result
from posttrain.tracking.sessions import HParamsTable

if TYPE_CHECKING:
    from posttrain.sweep.study import TrialRecord


class Display(Protocol):
    """What shows a sweep to a person while it runs."""

    def watch(self, run: RunPaths) -> None:
        """Begins to show a run directory."""
        ...

    def note(self, text: str) -> None:
        """A line that stays."""
        ...

    def trial(self, trial_id: str, status: str) -> None:
        """A trial began or ended."""
        ...

    def progress(self, trial_id: str, event: Mapping[str, Any]) -> None:
        """A note about a trial, or of the preparation: what goes on, a phase and its step, a training record."""
        ...


_ENDED = {"completed", "stopped", "gated", "failed"}


class RunEvents:
    """Hears of trials from the search; writes the run directory and tells the display."""

    def __init__(self, config: SweepConfig | SingleConfig, run: RunPaths, display: Display) -> None:
        self._config = config
        self._base = trial_config(config)
        self._run = run
        self._display = display
        self._table = HParamsTable(run, config, config.search_space)
        self._table.create()

    def on_prepared(self) -> None:
        """The baseline is measured: its row is complete, and so are those of trials that ended in an earlier start."""
        for folder in sorted(self._run.trials.iterdir()):
            result = read_result(self._run.trial(folder.name))
            if result is not None:
                self._write_row(result)
        self._display.trial(BASELINE_ID, "completed")

    def on_trial(
        self,
        trial_id: str,
        status: str,
        *,
        step: int | None,
        values: Mapping[str, float],
        reason: str,
        parameters: Mapping[str, Any],
    ) -> None:
        """A trial began, reported or ended."""
        if status == "running" and step is None:
            self._begin(trial_id, parameters)
        if status in _ENDED:
            self._end(trial_id, status, reason, parameters)
        if step is None:
            self._display.trial(trial_id, status)

    def on_progress(self, job_id: str, event: Mapping[str, Any]) -> None:
        """A worker's note."""
        self._display.progress(job_id, event)

    def on_note(self, text: str) -> None:
        """A line for people."""
        self._display.note(text)

    def _begin(self, trial_id: str, parameters: Mapping[str, Any]) -> None:
        trial = self._run.trial(trial_id)
        trial.root.mkdir(parents=True, exist_ok=True)
        write_atomic(trial.trial_yaml, trial_yaml(self._drawn(parameters)))
        self._table.started(trial_id, self._drawn(parameters), parameters)

    def _end(self, trial_id: str, status: str, reason: str, parameters: Mapping[str, Any]) -> None:
        trial = self._run.trial(trial_id)
        result = read_result(trial)
        if result is None or result["status"] != status:
            failure = failure_document(trial_id, parameters, status, reason, self._config.training.seed)
            known = {name: value for name, value in (result or {}).items() if value}
            result = {**failure, **known, "status": status, "reason": reason}
            trial.root.mkdir(parents=True, exist_ok=True)
            write_json_atomic(trial.result_json, result)
        self._write_row(result)

    def _write_row(self, result: dict[str, Any]) -> None:
        baseline = read_result(self._run.trial(BASELINE_ID)) or {}
        value = (baseline.get("objective") or {}).get("value")
        self._table.ended(result, self._drawn(result["parameters"]), value)

    def _drawn(self, parameters: Mapping[str, Any]) -> TrialConfig:
        try:
            return merge(self._base, parameters)
        except ConfigError:  # the trial is gated with this as its reason; its row shows the file's own settings
            return self._base


def restore_results(
    run: RunPaths, records: "Iterable[TrialRecord]", objective: Mapping[str, str], seed: int
) -> list[str]:
    """Writes result.json of trials that the study has closed and that lost theirs; returns their ids.

    It holds what the study knows: status, reason, parameters, and the objective with its step.
    """
    restored = []
    for record in records:
        trial = run.trial(record.id)
        if record.status not in _ENDED or read_result(trial) is not None:
            continue
        document = failure_document(record.id, record.parameters, record.status, record.reason, seed)
        document["steps"] = max(record.steps, default=None)
        step = next((step for step, value in record.steps.items() if value == record.value), None)
        if record.value is not None and step is not None:
            document["objective"] = {**objective, "value": record.value, "step": step}
            document["metrics"] = {
                objective["metric"]: {"best": record.value, "best_step": step, "mode": objective["mode"]}
            }
        write_json_atomic(trial.result_json, document)
        restored.append(record.id)
    return restored
