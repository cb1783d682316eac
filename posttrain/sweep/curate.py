"""The first step of every run: read the sources, refuse data that changed, and record what is kept and dropped."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from posttrain.config import Loaded, trial_config
from posttrain.data import Dataset, caps_in_reach, count_kinds, prepare, refuse_changes, write_manifest
from posttrain.models.reading import reading_of
from posttrain.paths import RunPaths
from posttrain.sweep.events import Display


@contextmanager
def timed(seconds: dict[str, float], phase: str) -> Iterator[None]:
    """Adds the time of the block as `phase`, also when it fails."""
    began = time.monotonic()
    try:
        yield
    finally:
        seconds[phase] = time.monotonic() - began


def read_data(loaded: Loaded[Any], display: Display) -> Dataset[Any]:
    """Every source of the file; raises DataError or ModelError where one, or the checkpoint, cannot be used."""
    config = loaded.config
    _, spec = reading_of(config, loaded.base_dir)

    def progress(source: str, done: int, total: int) -> None:
        display.progress("data", {"doing": f"reading {source}", "done": done, "total": total})

    return prepare(trial_config(config), spec, loaded.base_dir, progress)


def curate(loaded: Loaded[Any], run: RunPaths, display: Display) -> Dataset[Any]:
    """Reads the data of a run and writes its manifest; every source and every warning becomes a note."""
    dataset = read_data(loaded, display)
    refuse_changes(
        dataset,
        run,
        f"put it back as {run.manifest_jsonl} has it, give this run another `name`, or start over with --fresh (it "
        "deletes the run)",
    )
    write_manifest(dataset, run)
    for name, scan in dataset.scans.items():
        parts = [f"{len(dataset.train.get(name, []))} to train on", f"{len(dataset.held_out.get(name, []))} held out"]
        if scan.dropped:
            kinds = ", ".join(f"{count} {kind}" for kind, count in count_kinds(scan.dropped).items())
            parts.append(f"{len(scan.dropped)} dropped ({kinds}; see {run.manifest_jsonl})")
        display.note(f"data, {name}: {scan.found} found, {', '.join(parts)}")
    for warning in [*dataset.warnings, *caps_in_reach(loaded.config, dataset.train)]:
        display.note(f"warning: {warning}")
    return dataset
