"""Opening a run directory: afresh, or to go on with what an earlier driver left there."""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import yaml

from posttrain.config import LoadedSweep, dump_resolved
from posttrain.errors import ConfigError, environment_faults
from posttrain.paths import RunPaths, write_atomic, write_json_atomic
from posttrain.tracking.environment import environment

# What may change between two starts of the same sweep: none of it alters a trial that was already drawn.
CHANGEABLE = ("search.trials", "resources")


@contextmanager
def open_run(loaded: LoadedSweep, run: RunPaths, *, fresh: bool) -> Iterator[None]:
    """Makes the run directory ready for a sweep, locked against a second driver for the length of the block.

    Raises:
        ConfigError: another driver works on it, or it was made from a different sweep file.
        EnvironmentFault: the folder cannot be written.
    """
    with environment_faults(run.root):
        run.root.mkdir(parents=True, exist_ok=True)
    with _locked(run):
        if fresh:
            _clear(run)
        _check_same(loaded, run)
        write_atomic(run.sweep_yaml, dump_resolved(loaded))
        write_json_atomic(run.environment_json, environment())
        yield


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


def _check_same(loaded: LoadedSweep, run: RunPaths) -> None:
    if not run.sweep_yaml.is_file():
        return
    try:
        before = _flat(yaml.safe_load(run.sweep_yaml.read_text(encoding="utf-8")) or {})
    except (ValueError, yaml.YAMLError) as error:
        raise ConfigError.single(
            where=str(run.sweep_yaml),
            message=f"cannot be read ({' '.join(str(error).split())}), so nothing tells what this run was made from",
            hint="put the file back, give the sweep another `name`, or start over with --fresh (it deletes the run)",
        ) from error
    now = _flat(yaml.safe_load(dump_resolved(loaded)))
    changed = sorted(
        key for key in before.keys() | now.keys() if before.get(key) != now.get(key) and not key.startswith(CHANGEABLE)
    )
    if changed:
        listed = "; ".join(f"{key}: {before.get(key)!r} -> {now.get(key)!r}" for key in changed[:5])
        raise ConfigError.single(
            where=str(run.root),
            message=f"this run was made from a different sweep file ({listed})",
            hint="give the sweep another `name`, or start over with --fresh (it deletes the run)",
        )


def _flat(document: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(document, dict) or not document:
        return {prefix: document}
    flat: dict[str, Any] = {}
    for key, value in document.items():
        flat.update(_flat(value, f"{prefix}.{key}" if prefix else str(key)))
    return flat
