"""Which files of a folder are clips: `videos/<stem>.mp4` with its caption beside it, in the folder or one level below.

Nothing that lies there is passed over in silence: it is a clip, or `Dropped`, or counted under `ignored`.
"""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from posttrain.data.captions import caption_files
from posttrain.data.control_files import find_controls
from posttrain.data.sample import Dropped
from posttrain.errors import DataError

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi")


@dataclass(frozen=True)
class VideoFile:
    """A file that claims to be a video, and where its caption should be (None: there is none)."""

    id: str
    path: Path
    caption_file: Path | None
    controls: Mapping[str, Path] = field(default_factory=dict)


@dataclass
class Layout:
    """What lies in a source's folder."""

    videos: list[VideoFile] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)


def read_layout(source: str, root: Path, where: str, controls: Sequence[str] = ()) -> Layout:
    """Lists the clips below `root` with the control files of the names in `controls`.

    `where` is the configuration path that errors name.

    Raises:
        DataError: the folder is missing, cannot be listed, or holds no videos.
    """
    layout = Layout()
    try:
        if not root.is_dir():
            what = "a file, not a folder" if root.exists() else "not there"
            raise DataError(f"{where}: {root} is {what}; give a folder that holds videos/ and captions/ or metas/")
        groups = _groups(root, layout)
        for prefix, folder in groups:
            _read_group(f"{source}/{prefix}", folder, layout, controls)
    except OSError as error:
        raise DataError(f"{where}: {error.filename or root} cannot be listed: {error.strerror}") from error
    if not layout.videos and not layout.dropped:
        loose = layout.ignored["video outside videos/"]
        hint = f"it holds {loose} videos itself: move them to {root / 'videos'}" if loose else "add clips there"
        raise DataError(f"{where}: no video ({', '.join(VIDEO_SUFFIXES)}) in {root / 'videos'}; {hint}")
    return layout


def _groups(root: Path, layout: Layout) -> list[tuple[str, Path]]:
    """The folders that hold videos/, each with the prefix of its ids."""
    below = []
    for entry in sorted(root.iterdir()):
        if entry.suffix.lower() in VIDEO_SUFFIXES and entry.is_file():
            layout.ignored["video outside videos/"] += 1
        elif entry.is_dir() and entry.name not in ("videos", "captions", "metas") and not _hidden(entry):
            below.append(entry)
    if (root / "videos").is_dir():
        with_videos = sum((entry / "videos").is_dir() for entry in below)
        if with_videos:
            layout.ignored["folder with its own videos/ beside videos/"] += with_videos
        return [("", root)]
    groups = [(f"{_printable(entry.name)}/", entry) for entry in below if (entry / "videos").is_dir()]
    if len(groups) < len(below):
        layout.ignored["folder without videos/"] += len(below) - len(groups)
    return groups


def _read_group(prefix: str, folder: Path, layout: Layout, controls: Sequence[str]) -> None:
    captions = caption_files(folder)
    stems: dict[str, str] = {}
    videos: list[Path] = []
    for path in sorted((folder / "videos").iterdir()):
        name = _printable(path.name)
        if _hidden(path):
            layout.ignored["hidden file in videos/"] += 1
        elif reason := _unfit(path, stems):
            layout.dropped.append(Dropped(prefix + name, path, reason))
        else:
            stems[path.stem] = name
            videos.append(path)
    beside = find_controls(folder, controls, stems, VIDEO_SUFFIXES, layout.ignored)
    layout.videos += [
        VideoFile(prefix + path.stem, path, captions.get(path.stem, [None])[0], beside.get(path.stem, {}))
        for path in videos
    ]
    _count_captions(captions, stems, layout)


def _unfit(path: Path, stems: dict[str, str]) -> str | None:
    """Why an entry of videos/ cannot be a clip, without opening it."""
    if path.suffix.lower() not in VIDEO_SUFFIXES:
        return "not a video: a folder" if path.is_dir() else f"not a video: {path.suffix or 'no suffix'}"
    if not path.is_file():
        return f"unreadable: {'a folder' if path.is_dir() else 'a broken link' if path.is_symlink() else 'no file'}"
    if path.stem in stems:
        return f"same name: {stems[path.stem]} is read already"
    try:
        path.name.encode()
    except UnicodeEncodeError:
        return "name is not UTF-8"
    return None


def _count_captions(captions: dict[str, list[Path]], stems: dict[str, str], layout: Layout) -> None:
    orphans = sum(len(files) for stem, files in captions.items() if stem not in stems)
    seconds = sum(len(files) - 1 for stem, files in captions.items() if stem in stems)
    if orphans:
        layout.ignored["caption without a video"] += orphans
    if seconds:
        layout.ignored["second caption of a video"] += seconds


def _hidden(path: Path) -> bool:
    return path.name.startswith(".")


def _printable(name: str) -> str:
    """A file name that is not UTF-8 made safe for reports."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
