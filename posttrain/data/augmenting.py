"""The augmentations of a sweep held against its samples: how long the videos are, and which samples are left alone.

What the largest pace of `stride` and `speed` needs of a video is decoded once and remembered, like a verdict on it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from posttrain.config import DataConfig
from posttrain.data.clip import ClipSpec
from posttrain.data.rows import RowSpec
from posttrain.data.sample import Sample
from posttrain.data.sources import Progress, SourceScan
from posttrain.data.verdict_cache import Verdict
from posttrain.data.verdicts import judge_files, judge_windows
from posttrain.data.views import largest_paces, left_alone
from posttrain.errors import DataError

_REMEDIES = {
    "flip": "delete it, or give captions that say what is to the left and to the right",
    "stride": "delete it, lower its `max`, or give longer videos",
    "speed": "delete it, lower its `max`, or give longer videos",
    "paraphrase": "delete it, or give captions/<stem>.paraphrases.txt",
}


def measure_paces(
    scans: Mapping[str, SourceScan[Any]], data: DataConfig, spec: ClipSpec | RowSpec, progress: Progress | None
) -> None:
    """Tells the kept clips of sources how much longer than a window their files are, if an augmentation asks for it.

    Raises:
        EnvironmentFault: the cache cannot be written.
    """
    if isinstance(spec, ClipSpec):
        for name, scan in scans.items():
            told = None if progress is None else partial(progress, name)
            scan.kept[:] = _with_paces(scan.root, scan.kept, data, spec, told)


def account_for_augmentations(
    train: Mapping[str, Sequence[Any]],
    scans: Mapping[str, SourceScan[Any]],
    data: DataConfig,
    spec: ClipSpec | RowSpec,
) -> None:
    """Notes on each source how many of its training clips an augmentation leaves alone, and why.

    Raises:
        DataError: an augmentation acts on none of them.
    """
    if isinstance(spec, ClipSpec):
        _check_they_act(train, data)
        for name, samples in train.items():
            scans[name].notes.update(_notes_on(samples, data))


def _with_paces(
    root: Path, samples: Sequence[Sample], data: DataConfig, spec: ClipSpec, progress: Callable[[int, int], None] | None
) -> list[Sample]:
    """The samples with the largest of the paces that `data` asks for at which all their files can be read."""
    found = list(samples)
    for pace in largest_paces(data):
        readable = _readable(root, found, spec, pace, progress)
        found = [
            replace(sample, longest_pace=pace)
            if all((file, sample.start_s) in readable for file in _files(sample))
            else sample
            for sample in found
        ]
    return found


def _files(sample: Sample) -> list[Path]:
    return [sample.video, *(control.path for control in sample.controls.values())]


def _readable(
    root: Path, samples: Sequence[Sample], spec: ClipSpec, pace: float, progress: Callable[[int, int], None] | None
) -> set[tuple[Path, float]]:
    """The windows that can be read at a pace: file and start in seconds."""
    starts: dict[Path, list[float]] = {}
    for sample in samples:
        for file in _files(sample):
            starts.setdefault(file, []).append(sample.start_s)

    verdicts = judge_files(
        root,
        list(starts),
        ["pace", pace, asdict(spec.pixels)],
        _judge,
        progress,
        arguments=lambda file: (spec, starts[file], pace),
        depends_on=lambda file: repr(starts[file]),
    )
    return {
        (file, start_s)
        for file, verdict in zip(starts, verdicts, strict=True)
        for start_s, fault in verdict.windows
        if fault is None
    }


def _judge(file: Path, spec: ClipSpec, starts: Sequence[float], pace: float) -> Verdict:
    # no verdict on the file itself: its content was hashed when it was scanned
    return Verdict("known", None, judge_windows(file, spec, starts, pace), ())


def _notes_on(samples: Sequence[Sample], data: DataConfig) -> dict[str, int]:
    notes: dict[str, int] = {}
    for sample in samples:
        for name, reason in left_alone(sample, data).items():
            note = f"{name} leaves the sample alone: {reason}"
            notes[note] = notes.get(note, 0) + 1
    return notes


def _check_they_act(train: Mapping[str, Sequence[Sample]], data: DataConfig) -> None:
    samples = [sample for samples in train.values() for sample in samples]
    reasons = [left_alone(sample, data) for sample in samples]
    for step in data.augmentations:
        found = [alone[step.type] for alone in reasons if step.type in alone]
        if samples and len(found) == len(samples):
            told = "; ".join(f"{found.count(reason)} x {reason}" for reason in dict.fromkeys(found))
            raise DataError(
                f"data.augmentations.{step.type}: it has no effect, for it leaves all {len(samples)} training samples "
                f"alone: {told}; {_REMEDIES.get(step.type, 'delete it')}"
            )
