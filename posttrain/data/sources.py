"""A data source read into samples: layout, then captions, then a look into every file; or rows, see `row_scan`.

`scan` accounts for everything: each window of each video (each row) is kept or dropped with a reason, what else lies in
the folder is counted as ignored, and what is unusual and still used is counted as a note.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, overload

from posttrain.config import SourceConfig
from posttrain.data.clip import ClipSpec
from posttrain.data.clip_files import VideoFile
from posttrain.data.control_files import Clip, JudgedControls, judge_controls
from posttrain.data.curation import Judged
from posttrain.data.describe import Description, describe
from posttrain.data.layout import read_layout
from posttrain.data.paraphrases import read_paraphrases
from posttrain.data.places import is_local, locate
from posttrain.data.remedies import clip_remedy
from posttrain.data.row_files import read_hub, read_records
from posttrain.data.row_scan import scan_rows
from posttrain.data.rows import Row, RowSpec
from posttrain.data.sample import Dropped, Kept, Sample, UnusableClip, count_kinds
from posttrain.data.verdicts import judge_all
from posttrain.data.words import count_words
from posttrain.errors import DataError

# Called with the source's name, the files done and the files in all.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class SourceScan(Generic[Kept]):
    """All that is in a source: `found` = kept + dropped, in windows of clips or in rows.

    Attributes:
        kept: what no filter drops; straight after `scan` all that can be read.
        notes: what is unusual and still used, with the number of videos or rows.
        ignored: what else lies in the folder, with the number of files.
        judged: all that can be read, kept or dropped by a filter, with scores and faults.
    """

    name: str
    root: Path
    kept: list[Kept]
    dropped: list[Dropped]
    notes: dict[str, int]
    ignored: dict[str, int]
    judged: list[Judged[Kept]] = field(default_factory=list)

    @property
    def found(self) -> int:
        """Windows or rows that were looked at."""
        return len(self.kept) + len(self.dropped)


@overload
def scan(
    name: str,
    source: SourceConfig,
    spec: ClipSpec,
    base_dir: Path,
    progress: Progress | None = None,
    *,
    where: str | None = None,
    measure: bool = False,
) -> SourceScan[Sample]: ...


@overload
def scan(
    name: str,
    source: SourceConfig,
    spec: RowSpec,
    base_dir: Path,
    progress: Progress | None = None,
    *,
    where: str | None = None,
    measure: bool = False,
) -> SourceScan[Row]: ...


def scan(
    name: str,
    source: SourceConfig,
    spec: ClipSpec | RowSpec,
    base_dir: Path,
    progress: Progress | None = None,
    *,
    where: str | None = None,
    measure: bool = False,
) -> SourceScan[Sample] | SourceScan[Row]:
    """Reads the source `name`; relative paths start at `base_dir`, the sweep file's folder.

    `spec` tells what a model reads: clips with captions, or rows of questions and answers. With `measure` clips are
    measured as filters need it.

    Raises:
        DataError: the folder is missing or empty, or nothing in it can be used.
        EnvironmentFault: the cache cannot be written, or a hub id cannot be fetched.
    """
    where = where or f"data.sources.{name}.path"
    on_progress = None if progress is None else (lambda done, total: progress(name, done, total))
    if isinstance(spec, RowSpec):
        return _scan_rows(name, source, spec, base_dir, where, on_progress)
    return _scan_clips(name, source, spec, base_dir, where, on_progress, measure)


def _scan_clips(
    name: str,
    source: SourceConfig,
    spec: ClipSpec,
    base_dir: Path,
    where: str,
    on_progress: Callable[[int, int], None] | None,
    measure: bool,
) -> SourceScan[Sample]:
    root, split = locate(source.path, base_dir, where)
    layout = read_layout(
        name, root, where, images=spec.frames == 1, controls=spec.controls, columns=source.columns, split=split
    )
    files = [video.path for video in layout.videos]
    verdicts = judge_all(root, files, spec, source.windows, on_progress, measure=measure)
    clips = [Clip(video.path, video.controls, verdict) for video, verdict in zip(layout.videos, verdicts, strict=True)]
    result: SourceScan[Sample] = SourceScan(name, root, [], list(layout.dropped), {}, dict(layout.ignored))
    notes: Counter[str] = Counter()
    for video, judged in zip(layout.videos, judge_controls(root, clips, spec), strict=True):
        notes.update(_account(video, judged, source, result))
    used = {sample.video for sample in result.kept}
    notes.update(note for clip in clips if clip.video in used for note in clip.verdict.notes)
    result.notes.update(notes)
    if not result.kept:
        raise DataError(_nothing_left(where, root, result, "clips", _clip_remedy(spec)))
    return result


def _scan_rows(
    name: str,
    source: SourceConfig,
    spec: RowSpec,
    base_dir: Path,
    where: str,
    on_progress: Callable[[int, int], None] | None,
) -> SourceScan[Row]:
    if source.windows != 1:
        raise DataError(f"{where.removesuffix('.path')}.windows: questions have no windows; leave it out")
    if source.path.startswith("demo:") or is_local(source.path, base_dir):
        root, _ = locate(source.path, base_dir, where)
        records = read_records(root, where)
    else:
        root = base_dir / source.path
        records = read_hub(source.path, root, where)
    found = scan_rows(name, root, records, spec, _defaults(source), on_progress)
    judged = [Judged(row, {"words": float(count_words(row.answer))}) for row in found.kept]
    result: SourceScan[Row] = SourceScan(name, root, found.kept, found.dropped, dict(found.notes), {}, judged)
    if not result.kept:
        raise DataError(_nothing_left(where, root, result, "rows", _row_remedy))
    return result


def _defaults(source: SourceConfig) -> dict[str, Any]:
    """What the source says of all its samples."""
    said = source.model_dump(include={"quality", "relevance", "camera", "licence", "synthetic"})
    return {key: value for key, value in said.items() if value is not None}


def _account(
    video: VideoFile, judged: JudgedControls, source: SourceConfig, result: SourceScan[Sample]
) -> tuple[str, ...]:
    """Puts each window of one video among the kept or the dropped; returns the notes on what describes it."""
    verdict = judged.verdict
    windows = verdict.windows or ((0.0, verdict.reason),)
    described = Description("", {}, ())
    try:
        described = describe(video.caption_file, video.facts, _defaults(source), source.columns.caption, video.unlisted)
    except UnusableClip as error:
        # a file that cannot be read at all is told as such, with or without a caption
        windows = tuple((start_s, reason or error.reason) for start_s, reason in windows)
    others = read_paraphrases(described.caption, described.metadata, video.paraphrases)
    for index, (start_s, reason) in enumerate(windows):
        sample_id = f"{video.id}@{index}" if index else video.id
        if reason is not None:
            result.dropped.append(Dropped(sample_id, video.path, reason))
            continue
        sample = Sample(
            id=sample_id,
            source=result.name,
            video=video.path,
            start_s=start_s,
            caption=described.caption,
            metadata=others.metadata,
            content_hash=verdict.content_hash,
            controls=judged.files,
            paraphrases=others.texts,
        )
        result.kept.append(sample)
        scores = {**verdict.scores(index), "words": float(count_words(described.caption))}
        result.judged.append(Judged(sample, scores, signature=verdict.signature(index)))
    return (*described.notes, *others.notes) if any(reason is None for _, reason in windows) else ()


def _nothing_left(
    where: str, root: Path, result: SourceScan[Kept], what: str, remedy: Callable[[dict[str, Dropped]], str]
) -> str:
    examples: dict[str, Dropped] = {}
    for entry in result.dropped:
        examples.setdefault(entry.kind, entry)
    told = "; ".join(
        f"{number} {kind} ({examples[kind].video.name}: {examples[kind].reason})"
        for kind, number in count_kinds(result.dropped).items()
    )
    found = f"none of the {result.found} {what} in {root} can be used: {told}" if told else f"{root} holds no {what}"
    return f"{where}: {found}; {remedy(examples)}"


def _clip_remedy(spec: ClipSpec) -> Callable[[dict[str, Dropped]], str]:
    def remedy(examples: dict[str, Dropped]) -> str:
        helps = [text for kind in examples if (text := clip_remedy(kind, spec))]
        return "; ".join(dict.fromkeys(helps)) or "put clips that can be read there"

    return remedy


def _row_remedy(examples: dict[str, Dropped]) -> str:
    if "no image file" in examples or "no video file" in examples:
        return "paths of media start at the folder of the file that names them"
    return "give rows with conversations (from, value), or with question and answer"
