"""A data source read into samples: layout, then captions, then a look into every file.

`scan` accounts for everything: each window of each video is kept or dropped with a reason, what else lies in the folder
is counted as ignored, and what is unusual and still used is counted as a note.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posttrain.config import SourceConfig
from posttrain.data import demo
from posttrain.data.captions import read_caption
from posttrain.data.clip import ClipSpec
from posttrain.data.control_files import Clip, JudgedControls, judge_controls
from posttrain.data.decode import UnusableClip
from posttrain.data.layout import VideoFile, read_layout
from posttrain.data.sample import Dropped, Sample, count_kinds
from posttrain.data.verdicts import judge_all
from posttrain.errors import DataError

# Called with the source's name, the files done and the files in all.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class SourceScan:
    """All that is in a source: `found` = kept + dropped, in windows.

    Attributes:
        notes: what is unusual and still used, with the number of videos.
        ignored: what else lies in the folder, with the number of files.
    """

    name: str
    root: Path
    kept: list[Sample]
    dropped: list[Dropped]
    notes: dict[str, int]
    ignored: dict[str, int]

    @property
    def found(self) -> int:
        """Windows that were looked at."""
        return len(self.kept) + len(self.dropped)


def scan(
    name: str,
    source: SourceConfig,
    spec: ClipSpec,
    base_dir: Path,
    progress: Progress | None = None,
    *,
    where: str | None = None,
    controls: Sequence[str] = (),
) -> SourceScan:
    """Reads the source `name`; relative paths start at `base_dir`, the sweep file's folder.

    `controls` are the names of the control files that each clip must have.

    Raises:
        DataError: the folder is missing or empty, or none of its clips can be used.
        EnvironmentFault: the cache cannot be written.
    """
    where = where or f"data.sources.{name}.path"
    root = _root(source.path, base_dir, where)
    layout = read_layout(name, root, where, controls)
    on_progress = None if progress is None else (lambda done, total: progress(name, done, total))
    verdicts = judge_all(root, [video.path for video in layout.videos], spec, source.windows, on_progress)
    clips = [Clip(video.path, video.controls, verdict) for video, verdict in zip(layout.videos, verdicts, strict=True)]
    judged = judge_controls(root, clips, controls, spec)
    defaults = {
        key: value for key, value in (("quality", source.quality), ("camera", source.camera)) if value is not None
    }
    result = SourceScan(name, root, [], list(layout.dropped), {}, dict(layout.ignored))
    for video, found in zip(layout.videos, judged, strict=True):
        _account(video, found, defaults, result)
    used = {sample.video for sample in result.kept}
    result.notes.update(Counter(note for clip in clips if clip.video in used for note in clip.verdict.notes))
    if not result.kept:
        raise DataError(_nothing_left(where, root, result))
    return result


def _root(path: str, base_dir: Path, where: str) -> Path:
    if path.startswith("demo:"):
        try:
            return demo.resolve(path.removeprefix("demo:"))
        except DataError as error:
            raise DataError(f"{where}: {error}") from error
    return base_dir / Path(path).expanduser()


def _account(video: VideoFile, judged: JudgedControls, defaults: dict[str, Any], result: SourceScan) -> None:
    """Puts each window of one video among the kept or the dropped."""
    verdict = judged.verdict
    windows = verdict.windows or ((0.0, verdict.reason),)
    try:
        if video.caption_file is None:
            raise UnusableClip("no caption")
        caption, metadata = read_caption(video.caption_file)
    except UnusableClip as error:
        # a file that cannot be read at all is told as such, with or without a caption
        caption, metadata = "", {}
        windows = tuple((start_s, reason or error.reason) for start_s, reason in windows)
    for index, (start_s, reason) in enumerate(windows):
        sample_id = f"{video.id}@{index}" if index else video.id
        if reason is not None:
            result.dropped.append(Dropped(sample_id, video.path, reason))
            continue
        everything = {**defaults, **metadata}
        result.kept.append(
            Sample(sample_id, result.name, video.path, start_s, caption, everything, verdict.content_hash, judged.files)
        )


def _nothing_left(where: str, root: Path, result: SourceScan) -> str:
    examples: dict[str, Dropped] = {}
    for entry in result.dropped:
        examples.setdefault(entry.kind, entry)
    told = "; ".join(
        f"{number} {kind} ({examples[kind].video.name}: {examples[kind].reason})"
        for kind, number in count_kinds(result.dropped).items()
    )
    remedy = "put clips that can be read there"
    if "no caption" in examples:
        remedy = "give each video a captions/<stem>.json or a metas/<stem>.txt"
    elif absent := next((kind for kind in examples if kind.startswith("no ") and kind.endswith(" control")), None):
        folder = absent.split()[1]
        remedy = f"give each video a {folder}/<stem>.mp4 beside videos/, or leave {folder} out of model.controls"
    elif "too short" in examples:
        remedy = "give longer clips, or lower model.frames"
    return f"{where}: none of the {result.found} clips in {root} can be used: {told}; {remedy}"
