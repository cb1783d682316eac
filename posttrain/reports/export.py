"""Takes what a trial learned out of a run directory, as files that plain diffusers, transformers and peft load."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posttrain.errors import ConfigError, NoAnswer
from posttrain.paths import RunPaths, write_atomic
from posttrain.reports.card import ADAPTER_FILE, Source, card
from posttrain.reports.summary import summarize
from posttrain.reports.trials import SweepView, read_sweep

README = "README.md"
# What a checkpoint holds for resuming alone.
_RESUMING = (
    "optimizer.pt",
    "scheduler.pt",
    "rng_state*.pth",
    "trainer_state.json",
    "evaluation.json",
    "ema.json",
    "raw",
)


@dataclass(frozen=True)
class Chosen:
    """The checkpoint to export: of which trial, at which step, and how good it is.

    Attributes:
        folder: the checkpoint in the run directory.
        base: the base checkpoint as the sweep file names it.
        control: of a Transfer model, the control whose published ControlNet it began with.
    """

    run: str
    folder: Path
    base: str
    control: str
    trial: str
    metric: str
    value: float
    step: int
    baseline: float | None
    parameters: dict[str, Any]

    @property
    def facts(self) -> dict[str, Any]:
        """What the card and the command line say of it."""
        return {**vars(self), "checkpoint": self.base}

    @property
    def is_adapter(self) -> bool:
        """Whether it is a LoRA, which can be merged into its base."""
        return any((self.folder / name).is_file() for name in (ADAPTER_FILE, "controlnet/adapter_config.json"))

    @property
    def is_chat_model(self) -> bool:
        """Whether it is a whole vision-language model, which needs no base to be loaded."""
        return (self.folder / "config.json").is_file()


def choose(run: RunPaths, trial_id: str = "best", metric: str | None = None) -> Chosen:
    """The checkpoint of a trial at its best step.

    Args:
        trial_id: `best` for the winner of the sweep, or an id such as `t0007`.
        metric: the metric whose best checkpoint is taken; the sweep's objective when None.

    Raises:
        ConfigError: the run, the trial, the metric or its checkpoint is not there.
        NoAnswer: the sweep has no winner yet.
    """
    view = read_sweep(run)
    summary = summarize(run, view)
    if trial_id == "best":
        if summary["best"] is None:
            raise NoAnswer(f"{run.root} has no winner: no trial was completed; see `posttrain status {run.root}`")
        trial_id = summary["best"]["trial"]
    result = _result(run, trial_id, view)
    metric = metric or str((result["objective"] or {}).get("metric"))
    if metric not in result["metrics"]:
        raise ConfigError.single(
            where="--metric",
            message=f"trial {trial_id} has no metric {metric!r}",
            hint=f"it has {', '.join(result['metrics']) or 'none'}",
        )
    best = result["metrics"][metric]
    folder, model = _folder(run, trial_id, best["best_step"]), _model(run)
    return Chosen(
        run=run.root.name,
        folder=folder,
        base=str(model["checkpoint"]),
        control=next(iter(model.get("controls") or ("edge",))),
        trial=trial_id,
        metric=metric,
        value=best["best"],
        step=best["best_step"],
        baseline=summary["baseline"].get(metric),
        parameters=result["parameters"],
    )


def check_free(out: Path) -> None:
    """Raises ConfigError unless `out` is new, empty, or an earlier export, which is then taken away."""
    if not out.exists():
        return
    names = {path.name for path in out.iterdir()} if out.is_dir() else {""}
    earlier = out / README
    if names and not (earlier.is_file() and "trained by posttrain from" in earlier.read_text(encoding="utf-8")):
        raise ConfigError.single(where=str(out), message="holds other files", hint="name a new or empty folder")
    for path in out.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def copy_trained(chosen: Chosen, out: Path) -> None:
    """Copies what was trained, without what only resuming needs."""
    shutil.copytree(chosen.folder, out, ignore=shutil.ignore_patterns(*_RESUMING), dirs_exist_ok=True)


def write_card(chosen: Chosen, source: Source | None, out: Path) -> None:
    """Writes README.md for what lies in `out`; `source` is the base of a diffusion model."""
    write_atomic(out / README, card(chosen.run, chosen.facts, source, out))


def _folder(run: RunPaths, trial_id: str, step: int) -> Path:
    folder = run.trial(trial_id).checkpoints / f"step-{step:06d}"
    if not folder.is_dir():
        raise ConfigError.single(
            where=str(folder),
            message="the checkpoint is gone",
            hint="train the trial again: `posttrain sweep --fresh`",
        )
    return folder


def _model(run: RunPaths) -> dict[str, Any]:
    import yaml

    if not run.sweep_yaml.is_file():
        hint = "put the file back: it names the checkpoint that was trained"
        raise ConfigError.single(where=str(run.sweep_yaml), message="there is no such file", hint=hint)
    model: dict[str, Any] = yaml.safe_load(run.sweep_yaml.read_text(encoding="utf-8"))["model"]
    return model


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
