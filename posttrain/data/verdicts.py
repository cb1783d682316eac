"""What reading a file told: judged on all cores, and only where no earlier scan remembers it.

A verdict depends on the file's bytes, the model's clip and the number of windows (of rows: on how videos are sampled).
What filters need is measured in the same pass, if it is asked for; a measured verdict serves those who need it and
those who do not.
"""

import hashlib
import io
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from posttrain.data import archives
from posttrain.data.clip import ClipSpec
from posttrain.data.decode import check_window, probe
from posttrain.data.sample import UnusableClip
from posttrain.data.verdict_cache import Measured, Verdict, VerdictCache
from posttrain.data.workers import read_files


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


def judge_windows(
    video: Path, spec: ClipSpec, starts: Sequence[float], pace: float = 1.0
) -> tuple[tuple[float, str | None], ...]:
    """Each start with why the window there cannot be used, or None; `pace` as in `decode`."""
    return tuple((start_s, _see(video, spec, start_s, measure=False, pace=pace).reason) for start_s in starts)


def content_hash(file: Path) -> str:
    """SHA-256 of the file's bytes."""
    with archives.open_bytes(file) as stream:
        return hashlib.file_digest(cast("io.BufferedIOBase", stream), "sha256").hexdigest()


def window_starts(duration_s: float, spec: ClipSpec, num_windows: int) -> list[float]:
    """Up to `num_windows` windows that do not overlap, spread over the clip, on the grid of the model's frames."""
    room = int(duration_s * spec.fps + 1e-6)
    fitting = max(1, min(num_windows, room // spec.frames))
    if fitting == 1:
        return [0.0]
    return [index * (room - spec.frames) // (fitting - 1) / spec.fps for index in range(fitting)]


def _see(video: Path, spec: ClipSpec, start_s: float, measure: bool, pace: float = 1.0) -> _Seen:
    from posttrain.data.scores import Meter  # loads OpenCV and ImageHash, which remembered verdicts need not

    meter = Meter(spec.frames)
    try:
        size = check_window(video, spec, start_s, meter.add if measure else None, pace=pace)
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
        partial(judge, spec=spec, num_windows=num_windows, measure=measure),
        on_progress,
        is_enough=lambda verdict: verdict.is_measured or not measure,
    )
    # what others asked for must not show in what is told now
    return verdicts if measure else [replace(verdict, measured=None) for verdict in verdicts]


def judge_files(
    root: Path,
    files: Sequence[Path],
    identity: list[Any],
    judge_one: Callable[..., Verdict],
    on_progress: Callable[[int, int], None] | None = None,
    *,
    arguments: Callable[[Path], tuple[Any, ...]] = lambda _: (),
    depends_on: Callable[[Path], str] = lambda _: "",
    is_enough: Callable[[Verdict], bool] = lambda _: True,
) -> list[Verdict]:
    """Verdicts on `files` in their order; only files that are new or changed are read, several at a time.

    Args:
        root: the source they belong to; with `identity`, all that a verdict depends on besides the file, as JSON can
            hold it, it names the cache.
        judge_one: reads a file, given its path and its `arguments`; all of them can be pickled.
        depends_on: names what the verdict on one file depends on besides, such as another file.
        is_enough: whether a verdict that is remembered says all that is asked for.

    Raises:
        EnvironmentFault: the cache cannot be written.
    """
    cache = VerdictCache(root, identity, depends_on)
    verdicts = {file: verdict for file in files if (verdict := cache.get(file)) is not None and is_enough(verdict)}
    missing = [file for file in dict.fromkeys(files) if file not in verdicts]
    total = len(verdicts) + len(missing)
    if on_progress:
        on_progress(len(verdicts), total)
    try:
        with closing(read_files(judge_one, [(file, *arguments(file)) for file in missing])) as read:
            for file, verdict in zip(missing, read, strict=True):
                cache.put(file, verdict)
                verdicts[file] = verdict
                if on_progress:
                    on_progress(len(verdicts), total)
    finally:
        cache.close()  # what was read is kept, also when the user interrupts
    return [verdicts[file] for file in files]
