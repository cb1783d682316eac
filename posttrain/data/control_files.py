"""Control videos beside the clips: `depth/<stem>.mp4` and `seg/<stem>.mp4` next to `videos/`, found and judged.

A clip whose control is missing, unreadable, shorter than the clip or of another shape is dropped with a reason that
names the control: a picture cut elsewhere than the clip's would teach the wrong places.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from posttrain.data import files
from posttrain.data.clip import ClipSpec
from posttrain.data.controls import missing
from posttrain.data.decode import picture_aspect
from posttrain.data.sample import ControlFile, UnusableClip
from posttrain.data.verdict_cache import Verdict
from posttrain.data.verdicts import content_hash, judge_files, judge_windows

# Widths over heights that differ by more than this are other pictures, not other roundings of a size.
_SAME_ASPECT = 0.02


@dataclass(frozen=True)
class Clip:
    """A video with its control files by name and the verdict on it alone."""

    video: Path
    controls: Mapping[str, Path]
    verdict: Verdict

    @property
    def starts(self) -> list[float]:
        """Where its windows begin, in seconds."""
        return [start_s for start_s, _ in self.verdict.windows]

    @property
    def usable(self) -> bool:
        """Whether a window of the video can be used, if its controls can."""
        return self.verdict.reason is None and any(reason is None for _, reason in self.verdict.windows)


@dataclass(frozen=True)
class JudgedControls:
    """A clip's verdict with what its controls add to it, and the control files that can be used."""

    verdict: Verdict
    files: Mapping[str, ControlFile]


def find_controls(
    folder: Path, names: Sequence[str], stems: Mapping[str, str], suffixes: Sequence[str], ignored: Counter[str]
) -> dict[str, dict[str, Path]]:
    """Stem -> control name -> file; what else lies in the folders is counted in `ignored`."""
    found: dict[str, dict[str, Path]] = {}
    for name in names:
        place = folder / name
        for file in files.entries(place) if files.is_dir(place) else []:
            if file.suffix.lower() not in suffixes or file.name.startswith("."):
                ignored[f"no video in {name}/"] += 1
            elif file.stem not in stems:
                ignored[f"{name} control without a video"] += 1
            elif name in found.setdefault(file.stem, {}):
                ignored[f"second {name} control of a video"] += 1
            else:
                found[file.stem][name] = file
    return found


def judge_controls(root: Path, clips: Sequence[Clip], spec: ClipSpec) -> list[JudgedControls]:
    """For each clip the verdict on its video and on its controls, in the same order.

    Raises:
        EnvironmentFault: the cache cannot be written.
    """
    if not spec.controls:
        return [JudgedControls(clip.verdict, {}) for clip in clips]
    beside = {file: clip for clip in clips if clip.usable for file in clip.controls.values()}
    verdicts = judge_files(
        root,
        list(beside),
        ["controls", asdict(spec.pixels)],
        _judge,
        arguments=lambda file: (beside[file], spec),
        depends_on=lambda file: f"{beside[file].verdict.content_hash}:{beside[file].starts}",
    )
    return [_combined(clip, spec.controls, dict(zip(beside, verdicts, strict=True))) for clip in clips]


def _judge(control: Path, clip: Clip, spec: ClipSpec) -> Verdict:
    """Reads a control file at the windows of its clip."""
    try:
        of_control, of_video = picture_aspect(control), picture_aspect(clip.video)
        if abs(of_control / of_video - 1) > _SAME_ASPECT:
            raise UnusableClip(f"of another shape: {of_control:.2f} wide for 1 high, the video {of_video:.2f}", control)
        return Verdict(content_hash(control), None, judge_windows(control, spec, clip.starts), ())
    except UnusableClip as error:
        return Verdict("", error.reason, (), ())
    except OSError as error:
        return Verdict("", f"unreadable: {error.strerror}", (), ())


def _combined(clip: Clip, names: Sequence[str], verdicts: Mapping[Path, Verdict]) -> JudgedControls:
    """The clip's verdict with the faults of its controls added to its windows; a clip that is dropped keeps its own."""
    if not clip.usable:
        return JudgedControls(clip.verdict, {})
    windows, files = clip.verdict.windows, {}
    for name in names:
        if name not in clip.controls:
            return JudgedControls(replace(clip.verdict, reason=missing(name), windows=()), {})
        control = verdicts[clip.controls[name]]
        if control.reason is not None:
            return JudgedControls(replace(clip.verdict, reason=f"{name} control {control.reason}", windows=()), {})
        windows = tuple(
            (start_s, reason or (f"{name} control {fault}" if fault else None))
            for (start_s, reason), (_, fault) in zip(windows, control.windows, strict=True)
        )
        files[name] = ControlFile(clip.controls[name], control.content_hash)
    return JudgedControls(replace(clip.verdict, windows=windows), files)
