"""What earlier trials of a model took on hardware like this one, from their run directories.

A trial counts where its sweep had the same checkpoint, kind of training, precision and number of workers. Clips of
another size count in proportion to their pixels, and only where no trial has the same size.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from posttrain.config import SweepConfig
from posttrain.paths import RunPaths
from posttrain.tracking.columns import BASELINE_ID, lookup
from posttrain.tracking.results import read_result

MOST_RUNS = 20
"""The newest runs that fit are read: more would tell little and take long."""

# What two sweeps must share for the seconds of one to mean something for the other.
_SHARED = (
    "model.checkpoint",
    "model.max_sequence_length",
    "model.max_frames",
    "model.max_pixels",
    "model.controls",
    "strategy.type",
    "strategy.modules",
    "strategy.freeze",
    "strategy.generations",
    "strategy.max_completion_tokens",
    "training.precision",
    "training.gradient_checkpointing",
    "resources.workers",
    "resources.parallel",
)
_SIZE = ("model.frames", "model.height", "model.width")


@dataclass(frozen=True)
class PastTrial:
    """A trial that trained. Seconds are of this trial; `scale` turns them into those of the clips asked about."""

    run: str
    steps: int
    batch_size: int
    micro_batch_size: int
    training_s: float
    evaluation_s: float
    num_evaluations: int
    gate_s: float | None
    gate_samples: int
    peak_memory_bytes: int | None
    scale: float = 1.0


def past_trials(runs: Path, config: SweepConfig, hardware: Mapping[str, Any]) -> list[PastTrial]:
    """The trials under `runs` that tell what those of `config` would take; the nearest kind alone."""
    wanted = config.model_dump(mode="json")
    found: list[PastTrial] = []
    num_runs = 0
    for run in _newest(runs):
        sweep = _sweep(run, config.model.checkpoint)
        scale = None if sweep is None else _scale(sweep, wanted)
        if sweep is None or scale is None or not is_alike(_hardware(run), hardware):
            continue
        found += _trials(run, sweep, scale)
        num_runs += 1
        if num_runs == MOST_RUNS:
            break
    same_size = [trial for trial in found if trial.scale == 1.0]
    return same_size or found


def is_alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two `hardware` entries of environment.json are the same machine, or machines with the same devices."""
    devices = [[gpu.get("name") for gpu in each.get("gpus") or ()] for each in (one, other)]
    if any(devices):
        return devices[0] == devices[1]
    if one.get("node") == other.get("node"):
        return True
    return all(one.get(key) == other.get(key) is not None for key in ("machine", "cpus", "memory_bytes"))


def _newest(runs: Path) -> list[RunPaths]:
    folders = [RunPaths(path.parent) for path in runs.glob("*/sweep.yaml")] if runs.is_dir() else []
    return sorted(folders, key=lambda run: run.sweep_yaml.stat().st_mtime, reverse=True)


def _sweep(run: RunPaths, checkpoint: str) -> dict[str, Any] | None:
    """The resolved sweep file; None where it is damaged, or plainly about another checkpoint."""
    try:
        text = run.sweep_yaml.read_text(encoding="utf-8")
        sweep = yaml.safe_load(text) if checkpoint in text else None
    except (OSError, ValueError, yaml.YAMLError):
        return None
    return sweep if isinstance(sweep, dict) else None


def _hardware(run: RunPaths) -> dict[str, Any]:
    try:
        document = json.loads(run.environment_json.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    hardware = document.get("hardware") if isinstance(document, dict) else None
    return hardware if isinstance(hardware, dict) else {}


def _scale(sweep: Mapping[str, Any], wanted: Mapping[str, Any]) -> float | None:
    """By how much the clips asked about are larger; None where the two sweeps cannot be compared."""
    if any(lookup(sweep, path) != lookup(wanted, path) for path in _SHARED):
        return None
    sizes = [[lookup(each, path) for path in _SIZE] for each in (sweep, wanted)]
    if sizes[0] == sizes[1]:
        return 1.0
    if any(value is None for size in sizes for value in size):
        return None  # a default of the checkpoint's, which the file does not tell
    (frames, height, width), (new_frames, new_height, new_width) = sizes
    return float((new_frames * new_height * new_width) / (frames * height * width))


def _trials(run: RunPaths, sweep: Mapping[str, Any], scale: float) -> Iterator[PastTrial]:
    for folder in sorted(run.trials.glob("t*")):
        result = read_result(run.trial(folder.name)) if folder.name != BASELINE_ID else None
        if result is not None and result.get("steps") and "training" in (result.get("seconds") or {}):
            yield _trial(run, sweep, result, scale)


def _trial(run: RunPaths, sweep: Mapping[str, Any], result: Mapping[str, Any], scale: float) -> PastTrial:
    drawn = result.get("parameters") or {}

    def value(path: str) -> Any:
        return drawn.get(path, lookup(sweep, path))

    steps, seconds = result["steps"], result["seconds"]
    batch, workers = int(value("training.batch_size")), int(value("resources.workers") or 1)
    every = value("evaluation.every") or max(1, int(value("training.steps")) // 8)
    return PastTrial(
        run=str(run.root),
        steps=steps,
        batch_size=batch,
        micro_batch_size=value("training.micro_batch_size") or -(-batch // workers),
        training_s=seconds["training"],
        evaluation_s=seconds.get("evaluation", 0.0),
        num_evaluations=-(-steps // every),
        gate_s=seconds.get("gate"),
        gate_samples=int(value("overfit.steps") or 0) * int(value("overfit.batch_size") or 0),
        peak_memory_bytes=result.get("peak_memory_bytes"),
        scale=scale,
    )
