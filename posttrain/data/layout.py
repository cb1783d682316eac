"""Which files of a folder are clips: `videos/<stem>.mp4` with its caption beside it, in the folder or one level below.

For a model whose clip is a single frame, `images/<stem>.png` are clips too, beside videos or alone. Nothing that lies
there is passed over in silence: it is a clip, or `Dropped`, or counted under `ignored`.
"""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from posttrain.data.captions import caption_files
from posttrain.data.control_files import find_controls
from posttrain.data.decode import IMAGE_SUFFIXES
from posttrain.data.sample import Dropped
from posttrain.errors import DataError

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi")
# Folder -> the suffixes that count in it.
Places = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class VideoFile:
    """A file that claims to be a video or an image, and where its caption should be (None: there is none)."""

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


def read_layout(source: str, root: Path, where: str, *, images: bool = False, controls: Sequence[str] = ()) -> Layout:
    """Lists the clips below `root`, with `images` the pictures too, with the control files of the names in `controls`.

    `where` is the configuration path that errors name.

    Raises:
        DataError: the folder is missing, cannot be listed, or holds no videos.
    """
    layout = Layout()
    places = {"videos": VIDEO_SUFFIXES, "images": IMAGE_SUFFIXES} if images else {"videos": VIDEO_SUFFIXES}
    try:
        if not root.is_dir():
            what = "a file, not a folder" if root.exists() else "not there"
            raise DataError(f"{where}: {root} is {what}; give a folder that holds videos/ and captions/ or metas/")
        groups = _groups(root, layout, places)
        for prefix, folder in groups:
            _read_group(f"{source}/{prefix}", folder, layout, places, controls)
    except OSError as error:
        raise DataError(f"{where}: {error.filename or root} cannot be listed: {error.strerror}") from error
    if not layout.videos and not layout.dropped:
        loose = layout.ignored["video outside videos/"]
        hint = f"it holds {loose} videos itself: move them to {root / 'videos'}" if loose else "add clips there"
        if "images" not in places and (root / "images").is_dir():
            hint = "its images/ are read by a model that makes images; this one wants clips"
        wanted = " and no ".join(
            f"{place.removesuffix('s')} ({', '.join(suffixes)}) in {root / place}" for place, suffixes in places.items()
        )
        raise DataError(f"{where}: no {wanted}; {hint}")
    return layout


def _groups(root: Path, layout: Layout, places: Places) -> list[tuple[str, Path]]:
    """The folders that hold videos/ (or images/), each with the prefix of its ids."""

    def holds_clips(folder: Path) -> bool:
        return any((folder / place).is_dir() for place in places)

    below = []
    for entry in sorted(root.iterdir()):
        if entry.suffix.lower() in VIDEO_SUFFIXES and entry.is_file():
            layout.ignored["video outside videos/"] += 1
        elif entry.is_dir() and entry.name not in (*places, "captions", "metas") and not _hidden(entry):
            below.append(entry)
    if holds_clips(root):
        if (root / "images").is_dir() and "images" not in places:
            layout.ignored["images/ beside videos/: the model reads clips of several frames"] += 1
        with_videos = sum(map(holds_clips, below))
        if with_videos:
            layout.ignored["folder with its own videos/ beside videos/"] += with_videos
        return [("", root)]
    groups = [(f"{_printable(entry.name)}/", entry) for entry in below if holds_clips(entry)]
    if len(groups) < len(below):
        layout.ignored["folder without videos/"] += len(below) - len(groups)
    return groups


def _read_group(prefix: str, folder: Path, layout: Layout, places: Places, controls: Sequence[str]) -> None:
    captions = caption_files(folder)
    stems: dict[str, str] = {}
    clips: list[Path] = []
    for place, suffixes in places.items():
        for path in sorted((folder / place).iterdir()) if (folder / place).is_dir() else []:
            name = _printable(path.name)
            if _hidden(path):
                layout.ignored[f"hidden file in {place}/"] += 1
            elif reason := _unfit(path, stems, place.removesuffix("s"), suffixes):
                layout.dropped.append(Dropped(prefix + name, path, reason))
            else:
                stems[path.stem] = name
                clips.append(path)
    beside = find_controls(folder, controls, stems, VIDEO_SUFFIXES, layout.ignored)
    layout.videos += [
        VideoFile(prefix + path.stem, path, captions.get(path.stem, [None])[0], beside.get(path.stem, {}))
        for path in clips
    ]
    _count_captions(captions, stems, layout)


def _unfit(path: Path, stems: dict[str, str], kind: str, suffixes: tuple[str, ...]) -> str | None:
    """Why an entry of videos/ or images/ cannot be a clip, without opening it."""
    if path.suffix.lower() not in suffixes:
        article = "an" if kind == "image" else "a"
        what = "a folder" if path.is_dir() else path.suffix or "no suffix"
        return f"not {article} {kind}: {what}"
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
