"""Copies what a trial learned out of a run directory, in the format that plain diffusers loads."""

import json
import shutil
from pathlib import Path
from typing import Any

from posttrain.errors import ConfigError, NoAnswer, environment_faults
from posttrain.paths import RunPaths, write_atomic

WEIGHT_NAME = "pytorch_lora_weights.safetensors"
_CARD = """# {name}: {trial}

A LoRA trained by posttrain from `{checkpoint}`; {metric} {value:.4g} at step {step}{baseline}.

```python
from diffusers import Cosmos2_5_PredictBasePipeline

pipe = Cosmos2_5_PredictBasePipeline.from_pretrained("{checkpoint}")
pipe.load_lora_weights("{folder}", weight_name="{weight_name}")
```

Parameters: {parameters}
"""


def export_lora(run: RunPaths, out: Path, trial_id: str = "best", metric: str | None = None) -> dict[str, Any]:
    """Writes the adapter of a trial at its best step to `out`; returns what was exported.

    Args:
        trial_id: `best` for the winner of the sweep, or an id such as `t0007`.
        metric: the metric whose best checkpoint is taken; the sweep's objective when None.

    Raises:
        ConfigError: the run, the trial, the metric or its checkpoint is not there, or `out` holds other files.
        NoAnswer: the sweep has no winner yet.
    """
    summary = _read(run.summary_json, f"{run.root} is no run directory of a sweep that has begun")
    if trial_id == "best":
        if summary["best"] is None:
            raise NoAnswer(f"{run.root} has no winner: no trial was completed; see `posttrain status {run.root}`")
        trial_id = summary["best"]["trial"]
    result = _read(run.trial(trial_id).result_json, f"{run.root} has no finished trial {trial_id}")
    metric = metric or (result["objective"] or {}).get("metric")
    if metric not in result["metrics"]:
        raise ConfigError.single(
            where="--metric",
            message=f"trial {trial_id} has no metric {metric!r}",
            hint=f"it has {', '.join(result['metrics']) or 'none'}",
        )
    best = result["metrics"][metric]
    source = run.trial(trial_id).checkpoints / f"step-{best['best_step']:06d}" / WEIGHT_NAME
    if not source.is_file():
        raise ConfigError.single(
            where=str(source),
            message="the checkpoint is gone",
            hint="train the trial again: `posttrain sweep --fresh`",
        )
    if out.exists() and (
        not out.is_dir() or any(path.name not in {WEIGHT_NAME, "README.md"} for path in out.iterdir())
    ):
        raise ConfigError.single(where=str(out), message="holds other files", hint="name a new or empty folder")
    with environment_faults(out):
        out.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, out / WEIGHT_NAME)
    exported = {
        "trial": trial_id,
        "metric": metric,
        "value": best["best"],
        "step": best["best_step"],
        "baseline": summary["baseline"].get(metric),
        "parameters": result["parameters"],
        "checkpoint": _checkpoint(run),
        "folder": str(out),
    }
    write_atomic(out / "README.md", _card(run.root.name, exported))
    return exported


def _card(name: str, exported: dict[str, Any]) -> str:
    baseline = "" if exported["baseline"] is None else f" (base model: {exported['baseline']:.4g})"
    return _CARD.format(name=name, weight_name=WEIGHT_NAME, **{**exported, "baseline": baseline})


def _checkpoint(run: RunPaths) -> str:
    import yaml

    return str(yaml.safe_load(run.sweep_yaml.read_text(encoding="utf-8"))["model"]["checkpoint"])


def _read(path: Path, otherwise: str) -> dict[str, Any]:
    if not path.is_file():
        raise ConfigError.single(where=str(path), message=otherwise, hint="give the folder `runs/<name>`")
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document
