"""All sources of a trial scanned and filtered, and each split into what is trained on and what is held out.

Filters see all sources and the suites' own together. A source that a suite evaluates loses a share of its *videos*
(never single windows; of rows: of their pictures) to evaluation. Which ones is told by the hash of their content: no
seed and no new clip reshuffles them, and copies of a clip (near ones too, where duplicates are looked for), or all
questions about a picture, stay on one side.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, pairwise, zip_longest
from pathlib import Path
from typing import Any, Generic, Literal, overload

from posttrain.config import SourceConfig, SuiteConfig, TrialConfig, filters_in_force
from posttrain.config.evaluation import DEFAULT_SUITE
from posttrain.data.alike_captions import count_alike
from posttrain.data.augmenting import account_for_augmentations, measure_paces
from posttrain.data.caps import checked_mixture
from posttrain.data.clip import ClipSpec
from posttrain.data.filters import apply_filters, needs_measuring
from posttrain.data.leftover import check_something_left
from posttrain.data.rows import Row, RowSpec
from posttrain.data.sample import Kept, Sample
from posttrain.data.sources import Progress, SourceScan, scan
from posttrain.errors import DataError

# Before the name of a suite's own source among the scans; no source's name holds a colon.
SUITE_PREFIX = "suite:"

# What is measured of clips: what the filters of the file need, or everything.
Measure = Literal["needed", "all"]
# Hashes of two files that show the same.
Copies = tuple[str, str]


@dataclass(frozen=True)
class Dataset(Generic[Kept]):
    """What a trial reads.

    Attributes:
        train: source -> its samples, in the order of their ids.
        held_out: source -> what was held out of training, whether a suite draws it or not.
        suites: suite -> the samples it is measured on.
        scans: everything that was found, of sources and of suites with a path of their own (`suite:<name>`).
        warnings: what the user should know about the split.
    """

    train: dict[str, list[Kept]]
    held_out: dict[str, list[Kept]]
    suites: dict[str, list[Kept]]
    scans: dict[str, SourceScan[Kept]]
    warnings: list[str]

    @property
    def sizes(self) -> dict[str, int]:
        """Training samples per source."""
        return {source: len(samples) for source, samples in self.train.items()}


@overload
def prepare(
    config: TrialConfig,
    spec: ClipSpec,
    base_dir: Path,
    progress: Progress | None = None,
    *,
    measure: Measure = "needed",
) -> Dataset[Sample]: ...


@overload
def prepare(
    config: TrialConfig, spec: RowSpec, base_dir: Path, progress: Progress | None = None, *, measure: Measure = "needed"
) -> Dataset[Row]: ...


def prepare(
    config: TrialConfig,
    spec: ClipSpec | RowSpec,
    base_dir: Path,
    progress: Progress | None = None,
    *,
    measure: Measure = "needed",
) -> Dataset[Any]:
    """Scans, filters and splits everything that `config` names.

    Raises:
        DataError: a source is missing, has nothing usable or nothing that the filters leave, or too few clips to hold
            one out; a filter reads a column that no sample has; the training samples cannot carry the file's mixture,
            or an augmentation can act on none of them.
        EnvironmentFault: the cache cannot be written.
    """
    return divide(config, curate(config, spec, base_dir, progress, measure=measure), spec)


def curate(
    config: TrialConfig,
    spec: ClipSpec | RowSpec,
    base_dir: Path,
    progress: Progress | None = None,
    *,
    measure: Measure = "needed",
) -> dict[str, SourceScan[Any]]:
    """Scans and filters everything that `config` names, by source, or `suite:<name>` for a suite's own.

    Raises:
        DataError: a source is missing or has nothing usable; a filter reads a column that no sample has.
        EnvironmentFault: the cache cannot be written.
    """
    sources, suites = config.data.sources, config.evaluation.suites
    filters = filters_in_force(config.data.filters, rows=isinstance(spec, RowSpec))
    measured = measure == "all" or needs_measuring(filters)
    found: dict[str, SourceScan[Any]] = {
        name: scan(name, source, spec, base_dir, progress, measure=measured) for name, source in sources.items()
    }
    for name, suite in (suites or {}).items():
        if suite.source not in sources:
            where, own = f"evaluation.suites.{name}.source", SourceConfig(path=suite.source)
            found[SUITE_PREFIX + name] = scan(name, own, spec, base_dir, progress, where=where, measure=measured)
    scans = apply_filters(found, tuple(sources), filters)
    measure_paces({name: scans[name] for name in sources}, config.data, spec, progress)
    return scans


def divide(config: TrialConfig, scans: dict[str, SourceScan[Any]], spec: ClipSpec | RowSpec) -> Dataset[Any]:
    """What `curate` kept, split into what is trained on and what is held out.

    Raises:
        DataError: the filters leave nothing of a source, or too few clips to hold one out; the training samples cannot
            carry the file's mixture, or an augmentation can act on none of them.
    """
    sources, suites = config.data.sources, config.evaluation.suites
    filters = filters_in_force(config.data.filters, rows=isinstance(spec, RowSpec))
    for name in sources:
        check_something_left(scans[name], filters)
    # only what a suite measures is held out; the other sources are trained on whole
    held = set(sources) if suites is None else {suite.source for suite in suites.values()} & set(sources)
    train: dict[str, list[Any]] = {}
    held_out: dict[str, list[Any]] = {}
    for name in sources:
        share = config.evaluation.holdout_share if name in held else 0.0
        train[name], held_out[name] = split(name, scans[name].kept, share, copies(scans[name]))
    drawn = _draw_suites(suites, held_out, scans)
    account_for_augmentations(train, scans, config.data, spec)
    mixture = checked_mixture(config, train)
    warnings = [*_alike(train), *_warnings(train, drawn), *mixture.warnings]
    return Dataset(train, held_out, drawn, scans, warnings)


def _draw_suites(
    suites: Mapping[str, SuiteConfig] | None,
    held_out: Mapping[str, list[Any]],
    scans: Mapping[str, SourceScan[Any]],
) -> dict[str, list[Any]]:
    if suites is None:
        return {DEFAULT_SUITE: draw_suite(held_out.values(), SuiteConfig(source=DEFAULT_SUITE).samples)}
    own = {name: scans[SUITE_PREFIX + name].kept for name, suite in suites.items() if suite.source not in held_out}
    return {
        name: draw_suite([own[name] if name in own else held_out[suite.source]], suite.samples)
        for name, suite in suites.items()
    }


def copies(scan: SourceScan[Kept]) -> list[Copies]:
    """Pairs of files of a source of which a window of one is a copy of one of the other."""
    hashes = {entry.sample.id: entry.sample.content_hash for entry in scan.judged}
    return [
        (entry.sample.content_hash, hashes[fault.other])
        for entry in scan.judged
        for fault in entry.faults
        if fault.other in hashes
    ]


def split(name: str, samples: list[Kept], share: float, copies: Iterable[Copies] = ()) -> tuple[list[Kept], list[Kept]]:
    """Training and held-out samples; of the videos the nearest number to `share` is held out, at least one, never all.

    Args:
        copies: files that stay on one side although their content differs.

    Raises:
        DataError: there is but one video.
    """
    if share == 0:
        return list(samples), []
    groups = _groups(samples, copies)
    names = set(groups.values())
    if len(names) < 2:
        raise DataError(
            f"data.sources.{name}: it has one usable video or picture, so none can be held out of training; add more, "
            "or give every suite of evaluation.suites a source of its own"
        )
    ranked = sorted(names, key=_rank)
    count = min(max(round(share * len(ranked)), 1), len(ranked) - 1)
    chosen = set(ranked[:count])
    train = [sample for sample in samples if groups[sample.id] not in chosen]
    return train, [sample for sample in samples if groups[sample.id] in chosen]


def _groups(samples: Iterable[Kept], copies: Iterable[Copies]) -> dict[str, str]:
    """Sample id -> the smallest content hash among all samples that it shares a file with, directly or over others."""
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        while parent.setdefault(key, key) != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    keys = {sample.id: sample.media_hashes or (sample.content_hash,) for sample in samples}
    for one, other in chain(copies, *(pairwise(hashes) for hashes in keys.values())):
        low, high = sorted((root(one), root(other)))
        parent[high] = low
    return {sample_id: root(hashes[0]) for sample_id, hashes in keys.items()}


def draw_suite(sources: Iterable[list[Kept]], count: int) -> list[Kept]:
    """Up to `count` samples: sources take turns, and every video's first window goes before any second one.

    So does every picture's first question.
    """
    turns = zip_longest(*(_in_turn(samples) for samples in sources))
    return [sample for sample in chain.from_iterable(turns) if sample is not None][:count]


def _rank(content_hash: str) -> str:
    # hashed again: the order must not be the one of anything else that sorts by content
    return hashlib.sha256(f"held out:{content_hash}".encode()).hexdigest()


def _in_turn(samples: list[Kept]) -> list[Kept]:
    asked: Counter[str] = Counter()
    turns: dict[str, tuple[float, str, str]] = {}
    for sample in sorted(samples, key=lambda sample: sample.id):
        turn = asked[sample.content_hash] if isinstance(sample, Row) else sample.start_s
        asked[sample.content_hash] += 1
        turns[sample.id] = (turn, _rank(sample.content_hash), sample.id)
    return sorted(samples, key=lambda sample: turns[sample.id])


def _alike(train: Mapping[str, list[Kept]]) -> list[str]:
    """What the captions of a source cannot tell apart."""
    warnings = []
    for name, samples in train.items():
        alike, of = count_alike([sample.caption for sample in samples if isinstance(sample, Sample)])
        if alike:
            warnings.append(
                f"data.sources.{name}: {alike} of {of} captions hardly differ from most of the others, so text cannot "
                "tell these clips apart, and the gate does not ask whether it does; describe what differs"
            )
    return warnings


def _warnings(train: dict[str, list[Kept]], suites: dict[str, list[Kept]]) -> list[str]:
    trained = {file: sample.id for samples in train.values() for sample in samples for file in sample.media_hashes}
    warnings = []
    for name, samples in suites.items():
        place = f"evaluation.suites.{name}"
        noun = "clips" if all(isinstance(sample, Sample) for sample in samples) else "rows"
        leaked = [(sample, file) for sample in samples for file in sample.media_hashes[:1] if file in trained]
        if leaked:
            example = f"{leaked[0][0].id} is {trained[leaked[0][1]]}"
            if noun == "rows":
                example = f"{leaked[0][0].id} shows what {trained[leaked[0][1]]} shows"
            warnings.append(
                f"{place}: {len(leaked)} of {len(samples)} {noun} are trained on as well ({example}), so their score "
                f"says nothing about new {noun}"
            )
        if len(samples) < 4:
            remedy = "raise evaluation.holdout_share, or add data"
            warnings.append(
                f"{place}: {len(samples)} {noun} are few; differences between trials will be noise; {remedy}"
            )
    return warnings
