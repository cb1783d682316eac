"""Where everything lies: the cache, the shipped YAML, and every file name of a run directory.

The run directory is the interface between the programs that write it and those that read it, so its names
stand here and nowhere else. Whatever must be whole or absent is written by `write_atomic`.
"""

import json
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posttrain.errors import disk_fault, environment_faults

_PACKAGE = Path(__file__).resolve().parent


def cache_dir() -> Path:
    """The folder of what can be made again: $POSTTRAIN_CACHE, or ~/.cache/posttrain; it may not exist yet."""
    # absolute, because worker processes run in other folders
    return Path(os.environ.get("POSTTRAIN_CACHE") or "~/.cache/posttrain").expanduser().absolute()


def shipped(name: str) -> Path:
    """A file or folder that ships with the program: `search_spaces`, `sweeps/x.yaml`."""
    inside_wheel = _PACKAGE / "shipped"
    return (inside_wheel if inside_wheel.is_dir() else _PACKAGE.parent) / name


def write_atomic(path: Path, content: bytes | str) -> None:
    """Writes `path` whole or not at all, even if the machine goes down; makes its folder if need be.

    Raises:
        EnvironmentFault: the disk is full or not writable; an earlier file of this name is untouched.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    aside = path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")
    with environment_faults(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with aside.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
            _sync_folder(path.parent)
        finally:
            aside.unlink(missing_ok=True)


def write_json_atomic(path: Path, document: Any) -> None:
    """Writes `document` as JSON by `write_atomic`; a NaN in it is a ValueError, because JSON knows none."""
    write_atomic(path, json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def copy_folder(source: Path, out: Path) -> None:
    """Copies what lies below `source` into `out`, which is new or empty; all of it, or nothing is left there.

    Raises:
        EnvironmentFault: the disk is full or not writable.
    """
    is_new = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        for path in sorted(source.rglob("*")):  # folders before what is in them
            target = out / path.relative_to(source)
            if path.is_dir():
                target.mkdir()
            else:
                shutil.copyfile(path, target)
    except BaseException as error:
        for path in out.iterdir() if out.is_dir() else ():
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        if is_new and out.is_dir():
            out.rmdir()
        if isinstance(error, OSError):
            raise disk_fault(error, out) from error
        raise


def _sync_folder(folder: Path) -> None:
    """Makes a rename in `folder` last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class TrialPaths:
    """The files of one trial, under `runs/<name>/trials/<id>/`; event files lie in `root` itself."""

    root: Path

    @property
    def trial_yaml(self) -> Path:
        """The trial's whole configuration, its drawn values merged in."""
        return self.root / "trial.yaml"

    @property
    def overfit_json(self) -> Path:
        """The gate's verdict."""
        return self.root / "overfit.json"

    @property
    def metrics_jsonl(self) -> Path:
        """Every step and evaluation record, one a line."""
        return self.root / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.root / "checkpoints"

    @property
    def result_json(self) -> Path:
        """How the trial ended; its presence says that it has."""
        return self.root / "result.json"

    @property
    def error_txt(self) -> Path:
        """The traceback of a failed trial."""
        return self.root / "error.txt"


@dataclass(frozen=True)
class DataPaths:
    """The record of curation: `runs/<name>/data/`, or a folder that the user names."""

    root: Path

    @property
    def manifest_jsonl(self) -> Path:
        """Each sample: its source, and whether it was kept or why not."""
        return self.root / "manifest.jsonl"

    @property
    def summary_json(self) -> Path:
        """Per source: found, kept, dropped by reason."""
        return self.root / "summary.json"

    @property
    def curation_html(self) -> Path:
        """The page that shows it."""
        return self.root / "curation.html"


@dataclass(frozen=True)
class RunPaths:
    """The files of a run, under `runs/<name>/`."""

    root: Path

    @property
    def sweep_yaml(self) -> Path:
        """The resolved sweep file."""
        return self.root / "sweep.yaml"

    @property
    def environment_json(self) -> Path:
        """Versions, git commit, hardware."""
        return self.root / "environment.json"

    @property
    def data(self) -> DataPaths:
        """The record of curation."""
        return DataPaths(self.root / "data")

    @property
    def manifest_jsonl(self) -> Path:
        """Each sample: its source, and whether it was kept or why not."""
        return self.data.manifest_jsonl

    @property
    def data_summary_json(self) -> Path:
        """Per source: found, kept, dropped by reason."""
        return self.data.summary_json

    @property
    def study_journal(self) -> Path:
        """The Optuna study."""
        return self.root / "study.journal"

    @property
    def summary_json(self) -> Path:
        """The result of the whole sweep."""
        return self.root / "summary.json"

    @property
    def lock(self) -> Path:
        """Held (flock) by the one driver that works on this run."""
        return self.root / "lock"

    @property
    def trials(self) -> Path:
        """The folder of all trials."""
        return self.root / "trials"

    def trial(self, trial_id: str) -> TrialPaths:
        """The files of one trial."""
        return TrialPaths(self.trials / trial_id)
