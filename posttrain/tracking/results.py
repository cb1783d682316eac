"""The document of a trial's `result.json`, for every way a trial can end. Free of torch: the driver writes it too."""

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from posttrain.paths import TrialPaths


@dataclass
class Outcome:
    """How a trial ended; the training part of its `result.json`.

    `status` is `completed`, `stopped` (by the scheduler, or because it diverged) or `interrupted`. `mixture` is stage
    -> source -> samples drawn, `exposure` the same with `epochs` and `frames` or `tokens` beside the `samples`.
    `encodings` counts what all workers had to encode while the trial ran: nothing, unless the cache lost something.
    """

    status: str
    reason: str
    steps: int
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    mixture: dict[str, dict[str, int]] = field(default_factory=dict)
    augmentations: dict[str, dict[str, Any]] = field(default_factory=dict)
    exposure: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    encodings: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    peak_memory_bytes: int = 0


def result_document(
    trial_id: str,
    parameters: Mapping[str, Any],
    outcome: Outcome,
    seed: int,
    objective: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What a worker writes at a trial's end; `objective` names the metric and its mode."""
    value = outcome.metrics.get(objective["metric"]) if objective else None
    return {
        **failure_document(trial_id, parameters, outcome.status, outcome.reason, seed),
        "objective": None
        if objective is None or value is None
        else {**objective, "value": value["best"], "step": value["best_step"]},
        "metrics": outcome.metrics,
        "mixture": outcome.mixture,
        "augmentations": outcome.augmentations,
        "exposure": outcome.exposure,
        "encodings": outcome.encodings,
        "steps": outcome.steps,
        "seconds": outcome.seconds,
        "peak_memory_bytes": outcome.peak_memory_bytes,
        "node": platform.node(),
    }


def failure_document(
    trial_id: str, parameters: Mapping[str, Any], status: str, reason: str, seed: int
) -> dict[str, Any]:
    """What the driver knows of a trial whose worker could not write its end."""
    return {
        "id": trial_id,
        "status": status,
        "reason": reason,
        "parameters": dict(parameters),
        "objective": None,
        "metrics": {},
        "mixture": {},
        "augmentations": {},
        "exposure": {},
        "encodings": {},
        "steps": None,
        "seconds": {},
        "peak_memory_bytes": None,
        "node": None,
        "seed": seed,
    }


def read_result(trial: TrialPaths) -> dict[str, Any] | None:
    """A trial's `result.json`; None where it has none, or one that was damaged by hand."""
    if not trial.result_json.is_file():
        return None
    try:
        document = json.loads(trial.result_json.read_text(encoding="utf-8"))
    except ValueError:  # as good as none: it is written again
        return None
    return document if isinstance(document, dict) else None
