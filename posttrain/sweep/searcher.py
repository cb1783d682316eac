"""Ray Tune's view of the ledger: suggest a job, report its results, close it."""

from __future__ import annotations

from typing import Any

from ray.tune.search import Searcher

from posttrain.sweep.ledger import Ledger, Verdict
from posttrain.sweep.protocol import Job, Outcome


class SweepSearcher(Searcher):  # type: ignore[misc]  # ray ships no usable types
    """One Tune trial per job. Its configuration is `{"job": Job}`: a leaf, so that Tune flattens nothing inside."""

    def __init__(self, ledger: Ledger, slots: int) -> None:
        super().__init__()
        self._ledger = ledger
        self._slots = slots
        self._job_ids: dict[str, str] = {}
        self._causes: dict[str, str] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        if self._ledger.num_running >= self._slots:
            return None
        job = self._ledger.next_job()
        if isinstance(job, Job):
            self._job_ids[trial_id] = job.id
            return {"job": job}
        return Searcher.FINISHED if job is Verdict.DONE else None

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        if "step" in result and "outcome" not in result:
            self._ledger.on_report(self._job_ids[trial_id], int(result["step"]), reported_values(result))

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        job_id = self._job_ids.pop(trial_id)
        cause = self._causes.pop(trial_id, "the slot died")
        outcome = (result or {}).get("outcome")
        if isinstance(outcome, Outcome) and not error:
            self._ledger.on_outcome(outcome)
        else:
            self._ledger.on_lost(job_id, cause)

    def keep_cause(self, trial_id: str, cause: str) -> None:
        """Why a Tune trial failed; Tune tells the scheduler, just before it closes the trial here."""
        self._causes[trial_id] = cause

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study is the truth, and a Tune run is never restored."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, see save()."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing, see save()."""


def reported_values(result: dict[str, Any]) -> dict[str, float]:
    """The values of a report among what Tune adds to a result: everything under `values/`."""
    prefix = "values/"
    return {name.removeprefix(prefix): value for name, value in result.items() if name.startswith(prefix)}
