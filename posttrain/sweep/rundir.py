"""Opening a run directory: afresh, or to go on with what an earlier driver left there."""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

import yaml

from posttrain.config import Loaded, dump_resolved
from posttrain.errors import ConfigError, environment_faults
from posttrain.paths import RunPaths, write_atomic, write_json_atomic
from posttrain.tracking.environment import environment


@dataclass(frozen=True)
class ResumeRules:
    """What may differ between two starts in the same run directory.

    Attributes:
        changeable: configuration paths, with all below them, that may change.
        remedy: what to do about any other change.
        replaces_untrained: start over where anything else changed and no checkpoint would be lost.
    """

    changeable: tuple[str, ...]
    remedy: str
    replaces_untrained: bool = False


SWEEP_RULES = ResumeRules(
    ("search.trials", "resources"),  # neither alters a trial that was already drawn
    "give the sweep another `name`, or start over with --fresh (it deletes the run)",
)


@contextmanager
def open_run(loaded: Loaded[Any], run: RunPaths, *, fresh: bool, rules: ResumeRules = SWEEP_RULES) -> Iterator[bool]:
    """Makes the run directory ready, locked against a second driver for the length of the block.

    Yields whether an earlier run of another configuration, in which nothing was trained, was taken away.

    Raises:
        ConfigError: another driver works on it, or it was made from a different sweep file.
        EnvironmentFault: the folder cannot be written.
    """
    with environment_faults(run.root):
        run.root.mkdir(parents=True, exist_ok=True)
    with _locked(run):
        if fresh:
            _clear(run)
        replaced = _check_same(loaded, run, rules)
        write_atomic(run.sweep_yaml, dump_resolved(loaded))
        # `posttrain train --from` needs to know where relative paths of the file start
        write_json_atomic(run.environment_json, {**environment(), "base_dir": str(loaded.base_dir)})
        yield replaced


@contextmanager
def _locked(run: RunPaths) -> Iterator[None]:
    with environment_faults(run.lock), run.lock.open("w") as file:
        if not _lock(file):
            raise ConfigError.single(
                where=str(run.root),
                message="another posttrain is working on this run",
                hint="wait for it, or give this sweep another name",
            )
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _lock(file: IO[str]) -> bool:
    """Takes the lock; `posttrain status` holds it for an instant when it asks whether a run is alive."""
    for _ in range(20):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)
        else:
            return True
    return False


def _clear(run: RunPaths) -> None:
    content = [path for path in run.root.iterdir() if path != run.lock and not path.name.startswith(".")]
    # `posttrain data` alone leaves the record of the data and nothing else
    ours = (run.sweep_yaml, run.study_journal, run.trials, run.manifest_jsonl)
    if content and not any(path.exists() for path in ours):
        raise ConfigError.single(
            where=str(run.root),
            message=f"--fresh would delete {content[0].name}, but this folder is no run: it has neither sweep.yaml "
            "nor trials/",
            hint="give the sweep another `name`, or --runs another folder",
        )
    for path in run.root.iterdir():
        if path != run.lock:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _check_same(loaded: Loaded[Any], run: RunPaths, rules: ResumeRules) -> bool:
    changed = _changes(loaded, run, rules)
    if not changed:
        return False
    if rules.replaces_untrained and not any(run.trials.glob("*/checkpoints/step-*")):
        _clear(run)
        return True
    listed = "; ".join(changed[:5]) + (f"; and {len(changed) - 5} more" if len(changed) > 5 else "")
    message = f"this run was made from a different configuration ({listed})"
    if any(change.startswith("training.steps: ") for change in changed):
        message += "; another number of steps has another learning-rate schedule, so no checkpoint of this run fits it"
    raise ConfigError.single(str(run.root), message, rules.remedy)


def _changes(loaded: Loaded[Any], run: RunPaths, rules: ResumeRules) -> list[str]:
    """`path: old -> new` for everything that may not change and did."""
    if not run.sweep_yaml.is_file():
        return []
    try:
        before = _flat(yaml.safe_load(run.sweep_yaml.read_text(encoding="utf-8")) or {})
    except (ValueError, yaml.YAMLError) as error:
        raise ConfigError.single(
            where=str(run.sweep_yaml),
            message=f"cannot be read ({' '.join(str(error).split())}), so nothing tells what this run was made from",
            hint=f"put the file back, {rules.remedy}",
        ) from error
    now = _flat(yaml.safe_load(dump_resolved(loaded)))
    return [
        f"{key}: {before.get(key)!r} -> {now.get(key)!r}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key) and not key.startswith(rules.changeable)
    ]


def _flat(document: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(document, dict) or not document:
        return {prefix: document}
    flat: dict[str, Any] = {}
    for key, value in document.items():
        flat.update(_flat(value, f"{prefix}.{key}" if prefix else str(key)))
    return flat
