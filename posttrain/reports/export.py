"""Copies what a trial learned out of a run directory, in the format that plain diffusers loads."""

import json
from pathlib import Path
from typing import Any

from posttrain.errors import ConfigError, NoAnswer
from posttrain.paths import RunPaths, write_atomic
from posttrain.reports.summary import summarize
from posttrain.reports.trials import SweepView, read_sweep

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
    view = read_sweep(run)
    summary = summarize(run, view)
    if trial_id == "best":
        if summary["best"] is None:
            raise NoAnswer(f"{run.root} has no winner: no trial was completed; see `posttrain status {run.root}`")
        trial_id = summary["best"]["trial"]
    result = _result(run, trial_id, view)
    metric = metric or (result["objective"] or {}).get("metric")
    if metric not in result["metrics"]:
        raise ConfigError.single(
            where="--metric",
            message=f"trial {trial_id} has no metric {metric!r}",
            hint=f"it has {', '.join(result['metrics']) or 'none'}",
        )
    checkpoint, best = _checkpoint(run), result["metrics"][metric]
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
    write_atomic(out / WEIGHT_NAME, source.read_bytes())
    exported = {
        "trial": trial_id,
        "metric": metric,
        "value": best["best"],
        "step": best["best_step"],
        "baseline": summary["baseline"].get(metric),
        "parameters": result["parameters"],
        "checkpoint": checkpoint,
        "folder": str(out),
    }
    write_atomic(out / "README.md", _card(run.root.name, exported))
    return exported


def _card(name: str, exported: dict[str, Any]) -> str:
    baseline = "" if exported["baseline"] is None else f" (base model: {exported['baseline']:.4g})"
    return _CARD.format(name=name, weight_name=WEIGHT_NAME, **{**exported, "baseline": baseline})


def _checkpoint(run: RunPaths) -> str:
    import yaml

    if not run.sweep_yaml.is_file():
        hint = "put the file back: it names the checkpoint that the adapter belongs to"
        raise ConfigError.single(where=str(run.sweep_yaml), message="there is no such file", hint=hint)
    return str(yaml.safe_load(run.sweep_yaml.read_text(encoding="utf-8"))["model"]["checkpoint"])


def _result(run: RunPaths, trial_id: str, view: SweepView) -> dict[str, Any]:
    """What the trial's result.json says; raises ConfigError where it has none, or one that cannot be read."""
    row = next((row for row in view.rows if row.id == trial_id), None)
    ended = [row.id for row in view.ranked]
    if row is None or not run.trial(trial_id).result_json.is_file():
        raise ConfigError.single(
            where="--trial",
            message=f"{run.root} has no {'finished ' if row else ''}trial {trial_id!r}",
            hint=f"it has {', '.join(ended)}" if ended else "none has ended yet: run the sweep again",
        )
    if row.status == "unreadable":
        raise ConfigError.single(where="--trial", message=row.reason, hint=f"see `posttrain status {run.root}`")
    if row not in view.ranked:
        what = "is the base model itself" if row.is_baseline else f"{row.status} ({row.reason})"
        raise ConfigError.single(
            where="--trial",
            message=f"{trial_id} {what}, so it has nothing to export",
            hint=f"take one of {', '.join(ended)}" if ended else "",
        )
    document: dict[str, Any] = json.loads(run.trial(trial_id).result_json.read_text(encoding="utf-8"))
    return document
