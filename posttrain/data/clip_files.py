"""What a listing of a source finds: files, members and cells that claim to be clips, before any of them is opened."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from posttrain.config.data import ColumnsConfig
from posttrain.data import files
from posttrain.data.metadata import Facts
from posttrain.data.sample import Dropped

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi")
# Folder -> the suffixes that count in it.
Places = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Wanted:
    """What is looked for in a source.

    Attributes:
        where: the configuration path of the source that errors name.
        places: folders of clips.
        controls: names of the controls that the model reads from files.
        columns: what captions and clips are called in rows and shards.
    """

    where: str
    places: Places
    controls: Sequence[str]
    columns: ColumnsConfig

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Those of all places, for clips that lie in no folder of their own."""
        return sum(self.places.values(), ())


@dataclass(frozen=True)
class VideoFile:
    """What claims to be a video or an image, and what is said of it.

    Attributes:
        caption_file: where its caption should be; None: there is no such file.
        controls: the control files that the model asks for, by name.
        facts: rows of metadata, the one that counts first.
        unlisted: the metadata file of its folder, if that has no row for it.
        paraphrases: files of other captions.
    """

    id: str
    path: Path
    caption_file: Path | None
    controls: Mapping[str, Path] = field(default_factory=dict)
    facts: tuple[Facts, ...] = ()
    unlisted: str | None = None
    paraphrases: tuple[Path, ...] = ()


@dataclass
class Layout:
    """What lies in a source."""

    videos: list[VideoFile] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)


def hidden(path: Path) -> bool:
    """Whether a file is one that systems hide."""
    return path.name.startswith(".")


def printable(name: str) -> str:
    """A file name that is not UTF-8 made safe for reports."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def unfit(path: Path, kind: str, suffixes: tuple[str, ...]) -> str | None:
    """Why an entry of a folder of clips cannot be one, without opening it; `kind` is video or image."""
    is_folder = files.is_dir(path)
    if path.suffix.lower() not in suffixes:
        article = "an" if kind == "image" else "a"
        what = "a folder" if is_folder else path.suffix or "no suffix"
        return f"not {article} {kind}: {what}"
    if not files.is_file(path):
        return f"unreadable: {'a folder' if is_folder else 'a broken link' if path.is_symlink() else 'no file'}"
    try:
        path.name.encode()
    except UnicodeEncodeError:
        return "name is not UTF-8"
    return None
