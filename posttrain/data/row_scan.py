"""A source of rows read into rows: records, then their questions and answers, then a look into every medium."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from posttrain import cache
from posttrain.data import archives
from posttrain.data.decode import open_picture
from posttrain.data.pictures import sample_video
from posttrain.data.row_files import Record
from posttrain.data.row_parse import Draft, Embedded, Media, parse
from posttrain.data.rows import Row, RowSpec
from posttrain.data.sample import Dropped, UnusableClip
from posttrain.data.verdict_cache import Verdict
from posttrain.data.verdicts import content_hash, judge_files
from posttrain.paths import cache_dir, write_atomic


@dataclass
class RowsFound:
    """All rows of a source: kept, dropped with a reason, and what is unusual and still used."""

    kept: list[Row]
    dropped: list[Dropped]
    notes: Counter[str]


@dataclass(frozen=True)
class _Pending:
    """A row that is well formed, with the files of its media."""

    id: str
    draft: Draft
    images: tuple[Path, ...]
    video: Path | None

    @property
    def media(self) -> tuple[Path, ...]:
        return self.images if self.video is None else (*self.images, self.video)


def scan_rows(
    name: str,
    root: Path,
    records: Iterable[Record],
    spec: RowSpec,
    defaults: dict[str, Any],
    on_progress: Callable[[int, int], None] | None = None,
) -> RowsFound:
    """Accounts for every record; media that lie in the records are written to the cache, as files named by content.

    Raises:
        EnvironmentFault: the cache cannot be written.
    """
    found = RowsFound([], [], Counter())
    pending = _parse_all(name, records, found)
    verdicts = _judge_media(root, pending, spec, on_progress)
    for row in pending:
        reason = next((verdicts[path].reason for path in row.media if verdicts[path].reason), None)
        if reason is not None:
            bad = next(path for path in row.media if verdicts[path].reason)
            found.dropped.append(Dropped(row.id, bad, reason))
            continue
        found.kept.append(_row(name, row, verdicts, defaults))
        found.notes.update(row.draft.notes)
    return found


def _parse_all(name: str, records: Iterable[Record], found: RowsFound) -> list[_Pending]:
    pending: list[_Pending] = []
    taken: set[str] = set()
    for record in records:
        unnamed = f"{name}/{record.prefix}{record.place}"
        try:
            if record.value is None:
                raise UnusableClip(record.fault or "no object")
            draft = parse(record.value)
            images = tuple(_file(medium, record.file, "image") for medium in draft.images)
            video = None if draft.video is None else _file(draft.video, record.file, "video")
            draft.images, draft.video = [], None  # bytes of a whole data set would not fit into memory
        except UnusableClip as error:
            found.dropped.append(Dropped(_free(unnamed, taken), record.file, error.reason))
            continue
        row_id = unnamed if draft.id is None else f"{name}/{record.prefix}{draft.id}"
        if row_id in taken:
            found.notes["id used before: told apart by the row's number"] += 1
            row_id = _free(f"{row_id}#{record.place}", taken)
        taken.add(row_id)
        pending.append(_Pending(row_id, draft, images, video))
    return pending


def _free(row_id: str, taken: set[str]) -> str:
    while row_id in taken:
        row_id += "'"
    taken.add(row_id)
    return row_id


def _file(medium: Media, file: Path, kind: str) -> Path:
    """The file of a medium; paths start at the folder of the file that names them."""
    if isinstance(medium, Embedded):
        return _write_once(medium)
    path = Path(os.path.normpath(file.parent / medium))
    if not archives.is_medium(path):
        raise UnusableClip(f"no {kind} file: {medium if medium.isprintable() else repr(medium[:80])}")
    return path


def _write_once(medium: Embedded) -> Path:
    digest = hashlib.sha256(medium.data).hexdigest()
    path = cache_dir() / "media" / digest[:2] / f"{digest}{Path(medium.name).suffix.lower()[:8]}"
    if not cache.touch(path):
        write_atomic(path, medium.data)
    return path


def _judge_media(
    root: Path, pending: list[_Pending], spec: RowSpec, on_progress: Callable[[int, int], None] | None
) -> dict[Path, Verdict]:
    videos = {row.video for row in pending if row.video is not None}
    files = list(dict.fromkeys(path for row in pending for path in row.media))

    verdicts = judge_files(
        root,
        files,
        [asdict(spec), "rows"],
        _judge,
        on_progress,
        arguments=lambda path: (spec, path in videos),
    )
    return dict(zip(files, verdicts, strict=True))


def _judge(path: Path, spec: RowSpec, is_video: bool) -> Verdict:
    """Reads a medium as training will read it."""
    try:
        height, width = sample_video(path, spec)[0].shape[1:3] if is_video else open_picture(path).size[::-1]
        return Verdict(content_hash(path), _refusal(height, width, spec), (), ())
    except UnusableClip as error:
        reason = f"unusable video: {error.reason}" if is_video else error.reason
        return Verdict("", reason, (), ())
    except OSError as error:
        return Verdict("", f"unreadable: {error.strerror}", (), ())


def _refusal(height: int, width: int, spec: RowSpec) -> str | None:
    """Why the model's processor would refuse a picture of this size; None where it would not."""
    aspect = max(height, width) / min(height, width)
    if spec.max_aspect is None or aspect <= spec.max_aspect:
        return None
    return (
        f"too narrow: {width}x{height} pixels are {aspect:.0f} to 1, and this model's processor accepts at most "
        f"{spec.max_aspect:g} to 1"
    )


def _row(name: str, row: _Pending, verdicts: dict[Path, Verdict], defaults: dict[str, Any]) -> Row:
    return Row(
        id=row.id,
        source=name,
        turns=tuple(row.draft.turns),
        answer=row.draft.answer,
        images=row.images,
        video=row.video,
        choices=tuple(row.draft.choices),
        metadata={**defaults, **row.draft.metadata},
        media_hashes=tuple(verdicts[path].content_hash for path in row.media),
    )
