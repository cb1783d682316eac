"""The augmentations of a sweep held against its samples: how long the videos are, and which samples are left alone.

What the largest pace of `stride` and `speed` needs of a video is decoded once and remembered, like a verdict on it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
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
from posttrain.data.views import count_left_alone, largest_paces
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
        alone = {source: count_left_alone(samples, data) for source, samples in train.items()}
        _check_they_act(alone.values(), sum(map(len, train.values())), data)
        for source, counts in alone.items():
            notes = {f"{name} leaves the sample alone: {reason}": number for (name, reason), number in counts.items()}
            scans[source].notes.update(notes)


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


def _check_they_act(alone: Iterable[Counter[tuple[str, str]]], num_samples: int, data: DataConfig) -> None:
    counts = sum(alone, Counter[tuple[str, str]]())
    for step in data.augmentations:
        found = {reason: number for (name, reason), number in counts.items() if name == step.type}
        if num_samples and sum(found.values()) == num_samples:
            told = "; ".join(f"{number} x {reason}" for reason, number in found.items())
            raise DataError(
                f"data.augmentations.{step.type}: it has no effect, for it leaves all {num_samples} training samples "
                f"alone: {told}; {_REMEDIES.get(step.type, 'delete it')}"
            )
