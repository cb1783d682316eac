"""What reading a video file told, remembered between scans.

A verdict depends on the file's bytes, the model's clip and the number of windows (of rows: on how videos are sampled).
What filters need is measured in the same pass, if it is asked for; a measured verdict serves those who need it and
those who do not. The cache keeps one JSON file per folder and these, and believes an entry while the file's size and
time stamp are the same.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from posttrain.data.clip import ClipSpec
from posttrain.data.decode import UnusableClip, check_window, probe
from posttrain.data.scores import Measured, Meter
from posttrain.errors import EnvironmentFault
from posttrain.paths import cache_dir, write_json_atomic

# Raise it when a verdict could come out differently: old ones are then forgotten.
_VERSION = 2
_MAX_THREADS = 8


@dataclass(frozen=True)
class Verdict:
    """What is in a file: `windows` are (start in seconds, reason why it cannot be used or None).

    Attributes:
        reason: why the whole file cannot be used; None if it can.
        notes: what is unusual and still used.
        facts: duration_s, frames, height and width (upright, in pixels) of the file.
        measured: of each window, None where it cannot be used; None where it was not asked for.
    """

    content_hash: str
    reason: str | None
    windows: tuple[tuple[float, str | None], ...]
    notes: tuple[str, ...]
    facts: Mapping[str, float] = field(default_factory=dict)
    measured: tuple[Measured | None, ...] | None = None

    def scores(self, window: int) -> dict[str, float]:
        """All that is known of a window: what the file is, and what was measured."""
        measured = self.measured[window] if self.measured else None
        return {**self.facts, **({} if measured is None else measured.scores)}

    def signature(self, window: int) -> str:
        """What near duplicates of a window are told by; empty where it was not measured."""
        measured = self.measured[window] if self.measured else None
        return "" if measured is None else measured.signature

    @property
    def is_measured(self) -> bool:
        """Whether nothing is left to measure."""
        return self.reason is not None or self.measured is not None


@dataclass(frozen=True)
class _Seen:
    """A window that was decoded: why it cannot be used, or else the size of its pictures and what was measured."""

    reason: str | None
    size: tuple[int, int] | None = None
    measured: Measured | None = None


def judge(video: Path, spec: ClipSpec, num_windows: int, measure: bool = False) -> Verdict:
    """Reads `video` and decodes the windows that would be trained on, and measures them if asked to."""
    try:
        info = probe(video)
        starts = window_starts(info.duration_s, spec, num_windows)
        seen = [_see(video, spec, start_s, measure) for start_s in starts]
        digest = content_hash(video)
    except UnusableClip as error:
        return Verdict("", error.reason, (), ())
    except OSError as error:
        return Verdict("", f"unreadable: {error.strerror}", (), ())
    notes = []
    if info.width < spec.width or info.height < spec.height:
        notes.append("enlarged: smaller than the model's picture")
    if spec.frames > 1 and info.fps < spec.fps * 0.99:
        notes.append("frames repeated: slower than the model's frame rate")
    if len(starts) < num_windows:
        notes.append("fewer windows than asked for: the clip is too short")
    height, width = next((one.size for one in seen if one.size is not None), (info.height, info.width))
    facts = {"duration_s": round(info.duration_s, 4), "frames": info.num_frames, "height": height, "width": width}
    windows = tuple((start_s, one.reason) for start_s, one in zip(starts, seen, strict=True))
    return Verdict(digest, None, windows, tuple(notes), facts, tuple(one.measured for one in seen) if measure else None)


def judge_windows(video: Path, spec: ClipSpec, starts: Sequence[float]) -> tuple[tuple[float, str | None], ...]:
    """Each start with why the window there cannot be used, or None."""
    return tuple((start_s, _see(video, spec, start_s, measure=False).reason) for start_s in starts)


def content_hash(file: Path) -> str:
    """SHA-256 of the file's bytes."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def window_starts(duration_s: float, spec: ClipSpec, num_windows: int) -> list[float]:
    """Up to `num_windows` windows that do not overlap, spread over the clip, on the grid of the model's frames."""
    room = int(duration_s * spec.fps + 1e-6)
    fitting = max(1, min(num_windows, room // spec.frames))
    if fitting == 1:
        return [0.0]
    return [index * (room - spec.frames) // (fitting - 1) / spec.fps for index in range(fitting)]


def _see(video: Path, spec: ClipSpec, start_s: float, measure: bool) -> _Seen:
    meter = Meter(spec.frames)
    try:
        size = check_window(video, spec, start_s, meter.add if measure else None)
    except UnusableClip as error:
        return _Seen(error.reason)
    return _Seen(None, size, meter.result() if measure else None)


def judge_all(
    root: Path,
    videos: Sequence[Path],
    spec: ClipSpec,
    num_windows: int,
    on_progress: Callable[[int, int], None] | None = None,
    *,
    measure: bool = False,
) -> list[Verdict]:
    """Verdicts on `videos` in their order, measured if asked to; see `judge_files`."""
    verdicts = judge_files(
        root,
        videos,
        [asdict(spec.pixels), num_windows],
        lambda path: judge(path, spec, num_windows, measure),
        on_progress,
        is_enough=lambda verdict: verdict.is_measured or not measure,
    )
    # what others asked for must not show in what is told now
    return verdicts if measure else [replace(verdict, measured=None) for verdict in verdicts]


def judge_files(
    root: Path,
    files: Sequence[Path],
    identity: list[Any],
    judge_one: Callable[[Path], Verdict],
    on_progress: Callable[[int, int], None] | None = None,
    depends_on: Callable[[Path], str] = lambda _: "",
    is_enough: Callable[[Verdict], bool] = lambda _: True,
) -> list[Verdict]:
    """Verdicts on `files` in their order; only files that are new or changed are read, several at a time.

    Args:
        root: the source they belong to; with `identity`, all that a verdict depends on besides the file, as JSON can
            hold it, it names the cache.
        judge_one: reads a file.
        depends_on: names what the verdict on one file depends on besides, such as another file.
        is_enough: whether a verdict that is remembered says all that is asked for.

    Raises:
        EnvironmentFault: the cache cannot be written.
    """
    cache = _Cache(root, identity, depends_on)
    known = {file: cache.get(file) for file in files}
    missing = [file for file, verdict in known.items() if verdict is None or not is_enough(verdict)]
    done = len(files) - len(missing)
    if on_progress:
        on_progress(done, len(files))
    pool = ThreadPoolExecutor(min(_MAX_THREADS, os.cpu_count() or 1))
    try:
        for file, verdict in zip(missing, pool.map(judge_one, missing), strict=True):
            cache.put(file, verdict)
            done += 1
            if on_progress:
                on_progress(done, len(files))
    finally:
        # what was read is kept, also when the user interrupts
        pool.shutdown(cancel_futures=True)
        cache.save()
    return [cache.require(file) for file in files]


class _Cache:
    """Verdicts by file, with the size and the time stamp of the file that each was passed on."""

    def __init__(self, root: Path, identity: list[Any], depends_on: Callable[[Path], str]) -> None:
        self._root = root
        self._depends_on = depends_on
        name = json.dumps([_VERSION, str(root.resolve()), *identity])
        self._file = cache_dir() / "scans" / f"{hashlib.sha256(name.encode()).hexdigest()[:40]}.json"
        self._entries: dict[str, dict[str, Any]] = self._load()
        self._verdicts: dict[Path, Verdict] = {}
        self._changed = False

    def get(self, video: Path) -> Verdict | None:
        entry = self._entries.get(self._key(video))
        if entry is None or entry["stamp"] != _stamp(video) or entry.get("depends_on", "") != self._depends_on(video):
            return None
        self._verdicts[video] = verdict = _from_entry(entry)
        return verdict

    def put(self, video: Path, verdict: Verdict) -> None:
        self._verdicts[video] = verdict
        # a file that could not be read may be readable next time without a new time stamp (permissions, a network disk)
        if verdict.content_hash:
            entry = {"stamp": _stamp(video), "depends_on": self._depends_on(video), **asdict(verdict)}
            self._entries[self._key(video)] = entry
            self._changed = True

    def require(self, video: Path) -> Verdict:
        return self._verdicts[video]

    def save(self) -> None:
        if self._changed:
            try:
                self._file.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise EnvironmentFault(
                    f"{self._file.parent} cannot be made: {error.strerror}; point POSTTRAIN_CACHE at a folder that can "
                    "be written"
                ) from error
            write_json_atomic(self._file, self._entries)

    def _load(self) -> dict[str, dict[str, Any]]:
        try:
            entries: dict[str, dict[str, Any]] = json.loads(self._file.read_bytes())
        except (OSError, ValueError):
            return {}  # a cache: what cannot be read is made again
        return entries

    def _key(self, video: Path) -> str:
        # media of rows may lie outside their source's folder
        return str(video.relative_to(self._root) if video.is_relative_to(self._root) else video)


def _from_entry(entry: Mapping[str, Any]) -> Verdict:
    measured = entry["measured"]
    return Verdict(
        content_hash=entry["content_hash"],
        reason=entry["reason"],
        windows=tuple((float(start_s), reason) for start_s, reason in entry["windows"]),
        notes=tuple(entry["notes"]),
        facts=entry["facts"],
        measured=None if measured is None else tuple(None if one is None else Measured(**one) for one in measured),
    )


def _stamp(video: Path) -> list[int] | None:
    try:
        status = video.stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]
