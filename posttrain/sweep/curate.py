"""The first step of every run: read the sources, refuse data that changed, and record what is kept and dropped."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from posttrain.config import Loaded, trial_config
from posttrain.data import (
    ClipSpec,
    Dataset,
    caps_in_reach,
    clip_remedy,
    count_kinds,
    prepare,
    refuse_changes,
    write_manifest,
)
from posttrain.models.reading import Spec, reading_of
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


def read_data(loaded: Loaded[Any], display: Display) -> tuple[Spec, Dataset[Any]]:
    """How the checkpoint reads data, and every source of the file.

    Raises:
        DataError, ModelError: a source, or the checkpoint, cannot be used.
    """
    config = loaded.config
    display.progress("data", {"doing": f"opening the checkpoint ({config.model.checkpoint})"})
    _, spec = reading_of(config, loaded.base_dir)

    def progress(source: str, done: int, total: int) -> None:
        display.progress("data", {"doing": f"reading {source}", "done": done, "total": total})

    dataset = prepare(trial_config(config), spec, loaded.base_dir, progress)
    display.progress("data", {"doing": ""})
    return spec, dataset


def curate(loaded: Loaded[Any], run: RunPaths, display: Display) -> Dataset[Any]:
    """Reads the data of a run and writes its manifest; every source and every warning becomes a note."""
    spec, dataset = read_data(loaded, display)
    refuse_changes(
        dataset,
        run,
        f"put it back as {run.manifest_jsonl} has it, give this run another `name`, or start over with --fresh (it "
        "deletes the run)",
    )
    write_manifest(dataset, run)
    for name, scan in dataset.scans.items():
        parts = [f"{len(dataset.train.get(name, []))} to train on", f"{len(dataset.held_out.get(name, []))} held out"]
        kinds = count_kinds(scan.dropped)
        if kinds:
            listed = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
            parts.append(f"{len(scan.dropped)} dropped ({listed}; see {run.manifest_jsonl})")
        display.note(f"data, {name}: {scan.found} found, {', '.join(parts)}")
        for kind in kinds:
            remedy = clip_remedy(kind, spec) if isinstance(spec, ClipSpec) else ""
            if remedy:
                display.note(f"data, {name}: {kind}: {remedy}")
    for warning in [*dataset.warnings, *caps_in_reach(loaded.config, dataset.train)]:
        display.note(f"warning: {warning}")
    return dataset
