"""What `posttrain export` writes: the checkpoint of one trial as the plain libraries load it, and a card beside it.

Everything here reads the run directory and copies files; whatever needs torch is done by the command.
"""

import difflib
import json
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posttrain.errors import ConfigError, NoAnswer, environment_faults
from posttrain.paths import RunPaths, write_atomic
from posttrain.reports.card import ADAPTER_FILE, MADE_BY, Source, card
from posttrain.reports.summary import summarize
from posttrain.reports.trials import RANKED, SweepView, read_sweep
from posttrain.tracking.metrics import as_finite

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
        mode: `min` or `max`, whichever is better in the metric.
        compared: the number of trials that it is the best of; None where the user named the trial.
        winner: the best trial by the objective, where that is another one.
    """

    run: str
    folder: Path
    base: str
    control: str
    strategy: str
    trial: str
    metric: str
    mode: str
    value: float
    step: int
    baseline: float | None
    parameters: dict[str, Any]
    compared: int | None
    winner: str | None

    @property
    def is_adapter(self) -> bool:
        """Whether it is a LoRA, which can be merged into its base."""
        return any((self.folder / name).is_file() for name in (ADAPTER_FILE, "controlnet/adapter_config.json"))

    @property
    def is_chat_model(self) -> bool:
        """Whether it is a whole vision-language model, which needs no base to be loaded."""
        return (self.folder / "config.json").is_file()

    def __str__(self) -> str:
        """`t0007 at step 40: held_out/loss 0.31 (base model 0.41, lower is better), the best of 6 trials`."""
        base = "" if self.baseline is None else f"base model {self.baseline:.4g}, "
        better = "higher is better" if self.mode == "max" else "lower is better"
        best = "" if self.compared is None else f", the best of {self.compared} trial{'s' * (self.compared != 1)}"
        return f"{self.trial} at step {self.step}: {self.metric} {self.value:.4g} ({base}{better}){best}"


def choose(run: RunPaths, trial_id: str = "best", metric: str | None = None) -> Chosen:
    """The checkpoint of a trial at its best step.

    Args:
        trial_id: an id such as `t0007`, or `best` for the trial that is best in `metric`.
        metric: the metric that decides; the sweep's objective when None.

    Raises:
        ConfigError: the run, the trial, the metric or its checkpoint is not there.
        NoAnswer: no trial has finished.
    """
    view = read_sweep(run)
    summary = summarize(run, view)
    if summary["best"] is None and trial_id == "best":
        raise NoAnswer(f"{run.root} has no winner: no trial was completed; see `posttrain status {run.root}`")
    compared = None
    if trial_id == "best":
        trial_id = _best(summary, metric)
        compared = _num_with(metric or view.metric, view)
    result = _result(run, trial_id, view)
    metric = metric or str((result["objective"] or {}).get("metric"))
    best = _measured(result, trial_id, metric)
    sweep = _sweep(run)
    return Chosen(
        run=run.root.name,
        folder=_folder(run, trial_id, best["best_step"]),
        base=str(sweep["model"]["checkpoint"]),
        control=next(iter(sweep["model"].get("controls") or ("edge",))),
        strategy=str(sweep.get("strategy", {}).get("type", "lora")),
        trial=trial_id,
        metric=metric,
        mode=best.get("mode", "min"),
        value=best["best"],
        step=best["best_step"],
        baseline=summary["baseline"].get(metric),
        parameters=result["parameters"],
        compared=compared,
        winner=summary["best"]["trial"] if summary["best"] and summary["best"]["trial"] != trial_id else None,
    )


@contextmanager
def writing(out: Path, *, force: bool) -> Iterator[Path]:
    """A folder to write an export into, which becomes `out` when everything is there.

    Args:
        force: an earlier export in `out` is replaced.

    Raises:
        ConfigError: `out` is not empty, and may not be replaced.
        EnvironmentFault: the disk is full or not writable; what was in `out` is untouched.
    """
    _check_free(out, force=force)
    staging = out.with_name(f".{out.name}.{secrets.token_hex(6)}.part")
    try:
        with environment_faults(out):
            staging.mkdir(parents=True)
        yield staging
        with environment_faults(out):
            _move(staging, out)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def copy_trained(chosen: Chosen, out: Path) -> None:
    """Copies what was trained, without what only resuming needs.

    Raises:
        EnvironmentFault: the disk is full or not writable.
    """
    with environment_faults(out):
        shutil.copytree(chosen.folder, out, ignore=shutil.ignore_patterns(*_RESUMING), dirs_exist_ok=True)


def write_card(chosen: Chosen, source: Source, folder: Path, name: str) -> None:
    """Writes README.md for what lies in `folder`, which will be called `name`."""
    facts = {"run": chosen.run, "result": str(chosen), "trial": chosen.trial, "parameters": chosen.parameters}
    write_atomic(folder / README, card(facts, source, folder, name))


def _best(summary: Mapping[str, Any], metric: str | None) -> str:
    """The id of the best trial in a metric, at whichever of its steps."""
    if metric is None:
        return str(summary["best"]["trial"])
    if metric not in summary["metrics"]:
        raise _no_metric(f"no trial has a metric {metric!r}", metric, summary["metrics"])
    return str(summary["metrics"][metric]["trial"])


def _num_with(metric: str, view: SweepView) -> int:
    rows = [row for row in view.trials if row.status in RANKED]
    return sum(as_finite(row.metrics.get(metric, {}).get("best")) is not None for row in rows)


def _measured(result: Mapping[str, Any], trial_id: str, metric: str) -> dict[str, Any]:
    if metric not in result["metrics"]:
        raise _no_metric(f"trial {trial_id} has no metric {metric!r}", metric, result["metrics"])
    best: dict[str, Any] = result["metrics"][metric]
    return best


def _no_metric(message: str, metric: str, known: Mapping[str, Any]) -> ConfigError:
    near = difflib.get_close_matches(metric, known, n=1)
    meant = f"did you mean {near[0]!r}? " if near else ""
    return ConfigError.single(where="--metric", message=message, hint=f"{meant}There is {', '.join(known) or 'none'}")


def _check_free(out: Path, *, force: bool) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    card_text = (out / README).read_text(encoding="utf-8", errors="replace") if (out / README).is_file() else ""
    if MADE_BY not in card_text:
        message = "holds other files" if out.is_dir() else "is a file"
        raise ConfigError.single(where=str(out), message=message, hint="name a new or empty folder")
    if not force:
        hint = "name a new or empty folder, or replace it with --force"
        raise ConfigError.single(where=str(out), message="holds an earlier export", hint=hint)


def _move(staging: Path, out: Path) -> None:
    """Puts what was written in the place of what is there."""
    if not out.is_dir():
        staging.rename(out)
        return
    for path in out.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for path in staging.iterdir():
        shutil.move(path, out)


def _folder(run: RunPaths, trial_id: str, step: int) -> Path:
    folder = run.trial(trial_id).checkpoints / f"step-{step:06d}"
    if not folder.is_dir():
        raise ConfigError.single(
            where=str(folder),
            message="the checkpoint is gone",
            hint="train the trial again: `posttrain sweep --fresh`",
        )
    return folder


def _sweep(run: RunPaths) -> dict[str, Any]:
    import yaml

    if not run.sweep_yaml.is_file():
        hint = "put the file back: it names the checkpoint that was trained"
        raise ConfigError.single(where=str(run.sweep_yaml), message="there is no such file", hint=hint)
    sweep: dict[str, Any] = yaml.safe_load(run.sweep_yaml.read_text(encoding="utf-8"))
    return sweep


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
    if row.is_baseline or row.status not in RANKED:
        what = "is the base model itself" if row.is_baseline else f"{row.status} ({row.reason})"
        raise ConfigError.single(
            where="--trial",
            message=f"{trial_id} {what}, so it has nothing to export",
            hint=f"take one of {', '.join(ended)}" if ended else "",
        )
    document: dict[str, Any] = json.loads(run.trial(trial_id).result_json.read_text(encoding="utf-8"))
    return document
