"""All sources of a trial scanned, and each split into what is trained on and what is held out.

A source that a suite evaluates loses a share of its *videos* (never single windows) to evaluation. Which ones is told
by the hash of their content: no seed and no new clip reshuffles them, and copies of a clip stay on one side.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path

from posttrain.config import SourceConfig, SuiteConfig, TrialConfig
from posttrain.config.evaluation import DEFAULT_SUITE
from posttrain.data.clip import ClipSpec
from posttrain.data.controls import read_names
from posttrain.data.sample import Sample
from posttrain.data.sources import Progress, SourceScan, scan
from posttrain.errors import DataError

# Before the name of a suite's own source among the scans; no source's name holds a colon.
SUITE_PREFIX = "suite:"


@dataclass(frozen=True)
class Dataset:
    """What a trial reads.

    Attributes:
        train: source -> its samples, in the order of their ids.
        held_out: source -> what was held out of training, whether a suite draws it or not.
        suites: suite -> the samples it is measured on.
        scans: everything that was found, of sources and of suites with a path of their own (`suite:<name>`).
        warnings: what the user should know about the split.
    """

    train: dict[str, list[Sample]]
    held_out: dict[str, list[Sample]]
    suites: dict[str, list[Sample]]
    scans: dict[str, SourceScan]
    warnings: list[str]

    @property
    def sizes(self) -> dict[str, int]:
        """Training samples per source, as `MixtureSchedule` wants them."""
        return {source: len(samples) for source, samples in self.train.items()}


def prepare(config: TrialConfig, spec: ClipSpec, base_dir: Path, progress: Progress | None = None) -> Dataset:
    """Scans and splits everything that `config` names.

    Raises:
        DataError: a source is missing or has nothing usable, or too few clips to hold one out.
        EnvironmentFault: the cache cannot be written.
    """
    sources = config.data.sources
    controls = read_names(config.model.controls)
    scans = {name: scan(name, source, spec, base_dir, progress, controls=controls) for name, source in sources.items()}
    suites = config.evaluation.suites
    # only what a suite measures is held out; the other sources are trained on whole
    measured = set(sources) if suites is None else {suite.source for suite in suites.values()} & set(sources)
    train: dict[str, list[Sample]] = {}
    held_out: dict[str, list[Sample]] = {}
    for name in sources:
        share = config.evaluation.holdout_share if name in measured else 0.0
        train[name], held_out[name] = split(name, scans[name].kept, share)
    drawn: dict[str, list[Sample]] = {}
    if suites is None:
        drawn[DEFAULT_SUITE] = draw_suite(held_out.values(), SuiteConfig(source=DEFAULT_SUITE).samples)
    for name, suite in (suites or {}).items():
        if suite.source in sources:
            drawn[name] = draw_suite([held_out[suite.source]], suite.samples)
            continue
        where = f"evaluation.suites.{name}.source"
        source = SourceConfig(path=suite.source)
        found = scan(name, source, spec, base_dir, progress, where=where, controls=controls)
        scans[SUITE_PREFIX + name] = found
        drawn[name] = draw_suite([found.kept], suite.samples)
    return Dataset(train, held_out, drawn, scans, _warnings(train, drawn))


def split(name: str, samples: list[Sample], share: float) -> tuple[list[Sample], list[Sample]]:
    """Training and held-out samples; of the videos the nearest number to `share` is held out, at least one, never all.

    Raises:
        DataError: there is but one video.
    """
    if share == 0:
        return list(samples), []
    groups: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[sample.content_hash].append(sample)
    if len(groups) < 2:
        raise DataError(
            f"data.sources.{name}: it has one usable video, so none can be held out of training; add videos, or give "
            "every suite of evaluation.suites a source of its own"
        )
    ranked = sorted(groups, key=_rank)
    count = min(max(round(share * len(ranked)), 1), len(ranked) - 1)
    chosen = set(ranked[:count])
    train = [sample for sample in samples if sample.content_hash not in chosen]
    return train, [sample for sample in samples if sample.content_hash in chosen]


def draw_suite(sources: Iterable[list[Sample]], count: int) -> list[Sample]:
    """Up to `count` samples: sources take turns, and every video's first window goes before any second one."""
    turns = zip_longest(*(sorted(samples, key=_turn) for samples in sources))
    return [sample for sample in chain.from_iterable(turns) if sample is not None][:count]


def _rank(content_hash: str) -> str:
    # hashed again: the order must not be the one of anything else that sorts by content
    return hashlib.sha256(f"held out:{content_hash}".encode()).hexdigest()


def _turn(sample: Sample) -> tuple[float, str, str]:
    return (sample.start_s, _rank(sample.content_hash), sample.id)


def _warnings(train: dict[str, list[Sample]], suites: dict[str, list[Sample]]) -> list[str]:
    trained = {sample.content_hash: sample.id for samples in train.values() for sample in samples}
    warnings = []
    for name, samples in suites.items():
        place = f"evaluation.suites.{name}"
        leaked = [sample for sample in samples if sample.content_hash in trained]
        if leaked:
            example = f"{leaked[0].id} is {trained[leaked[0].content_hash]}"
            warnings.append(
                f"{place}: {len(leaked)} of {len(samples)} clips are trained on as well ({example}), so their score "
                "says nothing about new clips"
            )
        if len(samples) < 4:
            warnings.append(f"{place}: {len(samples)} clips are few; differences between trials will be noise")
    return warnings
