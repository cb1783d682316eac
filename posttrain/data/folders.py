"""The clips of one folder: in `videos/` with captions beside, or right beside a metadata file and below it."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from posttrain.data import files
from posttrain.data.captions import caption_files
from posttrain.data.clip_files import VIDEO_SUFFIXES, Layout, VideoFile, Wanted, hidden, printable, unfit
from posttrain.data.control_files import find_controls
from posttrain.data.metadata import NAMES, Metadata
from posttrain.data.paraphrases import paraphrase_files
from posttrain.data.sample import Dropped


def read_group(
    prefix: str, folder: Path, layout: Layout, wanted: Wanted, metadata: Metadata, listed: set[Path]
) -> None:
    """Reads `videos/` with what lies beside it."""
    captions, others = caption_files(folder), paraphrase_files(folder)
    stems: dict[str, str] = {}
    clips: list[Path] = []
    for place, suffixes in wanted.places.items():
        entries = files.entries(folder / place) if files.is_dir(folder / place) else None
        if entries == []:
            layout.ignored[f"empty folder: {place}/"] += 1
        for path in entries or []:
            listed.add(normal(path))
            if hidden(path):
                layout.ignored[f"hidden file in {place}/"] += 1
            elif path.name not in NAMES and _fits(prefix, path, place.removesuffix("s"), suffixes, stems, layout):
                clips.append(path)
    beside = find_controls(folder, wanted.controls, stems, VIDEO_SUFFIXES, layout.ignored)
    for path in clips:
        caption = captions.get(path.stem, [None])[0]
        video = _video(prefix + path.stem, path, caption, beside.get(path.stem, {}), metadata)
        layout.videos.append(replace(video, paraphrases=tuple(others.get(path.stem, ()))))
    _count_captions(captions, stems, layout)
    orphans = sum(len(found) for stem, found in others.items() if stem not in stems)
    if orphans:
        layout.ignored["paraphrases without a video"] += orphans


def read_tree(prefix: str, folder: Path, layout: Layout, wanted: Wanted, metadata: Metadata, listed: set[Path]) -> None:
    """Reads the clips beside metadata and below it; a Transfer model finds its controls in `<control>/` beside."""
    stems: dict[str, str] = {}
    clips: list[Path] = []
    for below, entries in walk(folder, layout):
        for path in entries:
            if path.relative_to(folder).parts[0] in wanted.controls or path.name in NAMES:
                continue
            listed.add(normal(path))
            if hidden(path):
                layout.ignored["hidden file beside metadata"] += 1
            elif path.suffix.lower() not in wanted.suffixes and normal(path) not in metadata.rows:
                layout.ignored[f"no clip beside metadata: {path.suffix or 'no suffix'}"] += 1
            else:
                below_prefix = "".join(f"{printable(part)}/" for part in below.relative_to(folder).parts)
                if _fits(f"{prefix}{below_prefix}", path, "video", wanted.suffixes, stems, layout, below_prefix):
                    clips.append(path)
    beside = find_controls(folder, wanted.controls, stems, VIDEO_SUFFIXES, layout.ignored)
    for path in clips:
        clip_id = path.relative_to(folder).with_suffix("").as_posix()
        layout.videos.append(_video(prefix + clip_id, path, None, beside.get(clip_id, {}), metadata))


def walk(folder: Path, layout: Layout | None) -> Iterator[tuple[Path, list[Path]]]:
    """Folders below `folder` with their files, links followed once; what is passed over is counted in `layout`."""
    seen: set[str] = set()
    waiting = [folder]
    while waiting:
        here = waiting.pop(0)
        real = files.identity(here)
        if real in seen:
            if layout is not None:
                layout.ignored["link to a folder that is read already"] += 1
            continue
        seen.add(real)
        entries = files.entries(here)
        if not entries and layout is not None:
            layout.ignored["empty folder: beside metadata"] += 1
        folders = [entry for entry in entries if not hidden(entry) and files.is_dir(entry)]
        waiting += sorted(folders, key=lambda entry: (entry.is_symlink(), entry.name))
        yield here, [entry for entry in entries if entry not in folders]


def _fits(
    prefix: str,
    path: Path,
    kind: str,
    suffixes: tuple[str, ...],
    stems: dict[str, str],
    layout: Layout,
    below: str = "",
) -> bool:
    """Whether an entry may be a clip; else it is dropped with the reason."""
    name = printable(path.name)
    reason = unfit(path, kind, suffixes)
    if reason is None and below + path.stem in stems:
        reason = f"same name: {stems[below + path.stem]} is read already"
    if reason is not None:
        layout.dropped.append(Dropped(prefix + name, path, reason))
        return False
    stems[below + path.stem] = name
    return True


def _video(
    clip_id: str, path: Path, caption_file: Path | None, controls: Mapping[str, Path], metadata: Metadata
) -> VideoFile:
    row = metadata.rows.get(normal(path))
    unlisted = metadata.read[0].name if metadata.read and row is None else None
    return VideoFile(clip_id, path, caption_file, controls, () if row is None else (row,), unlisted)


def normal(path: Path) -> Path:
    """The path by which clips and rows of metadata find each other."""
    return Path(os.path.normpath(path))


def _count_captions(captions: dict[str, list[Path]], stems: dict[str, str], layout: Layout) -> None:
    orphans = sum(len(found) for stem, found in captions.items() if stem not in stems)
    seconds = sum(len(found) - 1 for stem, found in captions.items() if stem in stems)
    if orphans:
        layout.ignored["caption without a video"] += orphans
    if seconds:
        layout.ignored["second caption of a video"] += seconds
