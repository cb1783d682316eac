"""The record of curation in the run directory: one line per sample, and counts per source that add up."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from posttrain.data.curation import Judged
from posttrain.data.files import shown
from posttrain.data.prepare import SUITE_PREFIX, Dataset
from posttrain.data.rows import Row
from posttrain.data.sample import Dropped, Kept, Sample, count_kinds
from posttrain.errors import DataError, environment_faults
from posttrain.paths import DataPaths, RunPaths, write_atomic, write_json_atomic

# `split` of a sample that was held out and that no suite draws.
UNUSED = "unused"
# `split` of a sample that cannot be read, or that a filter drops.
DROPPED = "dropped"
# What tells one sample from another; its path may change when a folder moves. A clip has some of it, a row others.
_CONTENT = ("content_hash", "start_s", "caption", "turns", "answer", "choices", "metadata", "paraphrases")


def write_manifest(dataset: Dataset[Kept], run: RunPaths) -> None:
    """Writes the record of curation into the run directory; see `write_record`."""
    write_record(dataset, run.data)


def write_record(dataset: Dataset[Kept], data: DataPaths) -> None:
    """Writes `manifest.jsonl` and `summary.json`.

    A line's `split` is `train`, `dropped`, `unused` (held out, but beyond the number of samples of every suite) or the
    name of a suite; a sample of two suites has two lines. `scores` holds what was measured, `faults` what filters
    object to, the reason first.

    Raises:
        EnvironmentFault: the folder cannot be written.
    """
    with environment_faults(data.manifest_jsonl):
        data.root.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(record, allow_nan=False) for record in records(dataset)]
    write_atomic(data.manifest_jsonl, "\n".join(lines) + "\n")
    write_json_atomic(data.summary_json, summarise(dataset))


def refuse_changes(dataset: Dataset[Kept], run: RunPaths, remedy: str) -> None:
    """Trials are compared with each other and with the base, so all trials of a run must read the same samples.

    Raises:
        DataError: the run has trials, and they read other samples than `dataset` holds.
    """
    has_trials = run.study_journal.exists() or run.trials.is_dir()
    changed = changes(dataset, run) if has_trials else []
    if changed:
        listed = "; ".join(changed[:3]) + (f"; and {len(changed) - 3} more" if len(changed) > 3 else "")
        raise DataError(f"{run.root}: the data has changed since this run began ({listed}); {remedy}")


def changes(dataset: Dataset[Kept], run: RunPaths) -> list[str]:
    """What a trial would read otherwise than the manifest in `run` says; nothing where there is no whole manifest."""
    try:
        lines = run.manifest_jsonl.read_text(encoding="utf-8").splitlines()
        before = _read_by_trials([json.loads(line) for line in lines])
    except (OSError, ValueError, TypeError, KeyError):
        return []
    now = _read_by_trials(records(dataset))
    gone = [f"{sample_id} is no longer in {split}" for sample_id, split in before if (sample_id, split) not in now]
    new = [f"{sample_id} is new in {split}" for sample_id, split in now if (sample_id, split) not in before]
    other = [
        f"{key[0]} has another {field}"
        for key in before.keys() & now.keys()
        for field in before[key].keys() | now[key].keys()
        if before[key].get(field) != now[key].get(field)
    ]
    return gone + new + sorted(other)


def _read_by_trials(lines: Iterable[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """Content by id and split of what is trained on or measured; where the files lie does not matter."""
    return {(line["id"], line["split"]): _content(line) for line in lines if line["position"] is not None}


def _content(line: dict[str, Any]) -> dict[str, Any]:
    controls = line.get("controls", {}).items()
    return {
        **{field: line.get(field) for field in _CONTENT},
        **{f"{name} control": control["content_hash"] for name, control in controls},
    }


def records(dataset: Dataset[Kept]) -> Iterator[dict[str, Any]]:
    """One record per sample and split."""
    for place, scan in dataset.scans.items():
        splits = _splits(dataset, place)
        judged = {entry.sample.id: entry for entry in scan.judged}
        for sample in scan.kept:
            for split, position in splits.get(sample.id, {UNUSED: None}).items():
                yield _kept(sample, split, position) | _curation(judged.get(sample.id))
        for entry in scan.dropped:
            filtered = judged.get(entry.id)
            known = {} if filtered is None else _kept(filtered.sample, DROPPED, None)
            yield _dropped(entry, scan.name) | known | {"reason": entry.reason} | _curation(filtered)


def summarise(dataset: Dataset[Kept]) -> dict[str, dict[str, Any]]:
    """Windows per source: found = kept + dropped, kept = train + held_out; a suite's own source trains none.

    `dropped` counts by the kind of reason, `filtered` by the filter that drops, of which a kind is one of several.
    """
    summary: dict[str, dict[str, Any]] = {}
    for place, scan in dataset.scans.items():
        train = len(dataset.train.get(place, []))
        summary[place] = {
            "path": shown(scan.root),
            "found": scan.found,
            "kept": len(scan.kept),
            "train": train,
            "held_out": len(scan.kept) - train,
            "dropped": count_kinds(scan.dropped),
            "filtered": dict(Counter(entry.faults[0].filter for entry in scan.judged if entry.faults).most_common()),
            "notes": scan.notes,
            "ignored": scan.ignored,
        }
    return summary


def _splits(dataset: Dataset[Kept], place: str) -> dict[str, dict[str, int | None]]:
    """Sample id -> its splits with its position in them; a suite's own source has that suite, the others the rest."""
    own = place.removeprefix(SUITE_PREFIX)
    suites = {own} if own != place else {name for name in dataset.suites if SUITE_PREFIX + name not in dataset.scans}
    splits: dict[str, dict[str, int | None]] = {
        sample.id: {"train": position} for position, sample in enumerate(dataset.train.get(place, []))
    }
    for suite in sorted(suites):
        for position, sample in enumerate(dataset.suites[suite]):
            # the default suite holds samples of every source
            if sample.source == dataset.scans[place].name:
                splits.setdefault(sample.id, {})[suite] = position
    return splits


def _kept(sample: Sample | Row, split: str, position: int | None) -> dict[str, Any]:
    placed = {"id": sample.id, "source": sample.source, "split": split, "position": position, "reason": None}
    if isinstance(sample, Row):
        return placed | sample.to_record() | {"content_hash": sample.content_hash}
    return placed | {
        "video": str(sample.video),
        "start_s": sample.start_s,
        "caption": sample.caption,
        "metadata": dict(sample.metadata),
        "content_hash": sample.content_hash,
        "controls": {
            name: {"video": str(control.path), "content_hash": control.content_hash}
            for name, control in sample.controls.items()
        },
        # only where there is something to say
        **({"paraphrases": list(sample.paraphrases)} if sample.paraphrases else {}),
        **({"longest_pace": sample.longest_pace} if sample.longest_pace != 1 else {}),
    }


def _curation(judged: Judged[Kept] | None) -> dict[str, Any]:
    scores: dict[str, float] = {} if judged is None else dict(judged.scores)
    return {"scores": scores, "faults": [] if judged is None else [fault.to_record() for fault in judged.faults]}


def _dropped(entry: Dropped, source: str) -> dict[str, Any]:
    unknown: dict[str, Any] = {"position": None, "start_s": None, "caption": None, "metadata": {}, "content_hash": None}
    return {
        "id": entry.id,
        "source": source,
        "video": str(entry.video),
        "split": DROPPED,
        "reason": entry.reason,
        **unknown,
    }
