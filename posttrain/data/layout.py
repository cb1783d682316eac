"""Which files of a folder are clips, and what is said of them; for shards see `shards`.

- `videos/<stem>.mp4` with captions beside, in the folder or one level below; for a model whose clip is a single frame,
  `images/<stem>.png` are clips too.
- The layout of `videofolder`: clips right beside a metadata file, or anywhere below it.

Nothing that lies there is passed over in silence: it is a clip, or `Dropped`, or counted under `ignored`.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from posttrain.config.data import ColumnsConfig
from posttrain.config.support import nearest_or_all
from posttrain.data import files, shards
from posttrain.data.captions import CAPTION_KEYS
from posttrain.data.clip_files import VIDEO_SUFFIXES, Layout, Places, Wanted, hidden, printable
from posttrain.data.decode import IMAGE_SUFFIXES
from posttrain.data.folders import read_group, read_tree, walk
from posttrain.data.metadata import FILE_NAME, Metadata, metadata_files, read_metadata
from posttrain.data.places import suggestion
from posttrain.data.sample import Dropped
from posttrain.errors import DataError, EnvironmentFault

_CAPTION_PLACES = ("captions", "metas")


def read_layout(
    source: str,
    root: Path,
    where: str,
    *,
    images: bool = False,
    controls: Sequence[str] = (),
    columns: ColumnsConfig | None = None,
    split: str | None = None,
) -> Layout:
    """Lists the clips below `root`, with `images` the pictures too, with the control files of the names in `controls`.

    `where` is the configuration path that errors name; `split` picks shards of a data set that has several splits.

    Raises:
        DataError: the folder is missing, cannot be listed, or holds no videos.
        EnvironmentFault: its host cannot be reached.
    """
    layout = Layout()
    places = {"videos": VIDEO_SUFFIXES, "images": IMAGE_SUFFIXES} if images else {"videos": VIDEO_SUFFIXES}
    wanted = Wanted(where, places, controls, columns or ColumnsConfig())
    try:
        found = shards.shards_at(source, root, where, split, tuple(places), layout)
        if found is not None:
            shards.read_shards(source, found, layout, wanted)
            return layout
        if not files.is_dir(root):
            what = "a file, not a folder" if files.is_file(root) else f"not there{suggestion(root)}"
            raise DataError(
                f"{where}: {files.shown(root)} is {what}; give a folder that holds videos/ and captions/ or metas/, "
                "clips beside a metadata file, or shards (.tar, .parquet)"
            )
        _read_folder(source, root, layout, wanted)
    except EnvironmentFault as error:
        raise EnvironmentFault(f"{where}: {error}") from error
    except OSError as error:
        raise DataError(f"{where}: {error.filename or root} cannot be listed: {error.strerror}") from error
    if not layout.videos and not layout.dropped:
        raise DataError(_nothing_there(root, where, layout, places))
    return layout


def _nothing_there(root: Path, where: str, layout: Layout, places: Places) -> str:
    loose = layout.ignored["video outside videos/"]
    hint = f"it holds {loose} videos itself: move them to {root / 'videos'}" if loose else "add clips there"
    if "images" not in places and files.is_dir(root / "images"):
        hint = "its images/ are read by a model that makes images; this one wants clips"
    wanted = " and no ".join(
        f"{place.removesuffix('s')} ({', '.join(suffixes)}) in {files.shown(root / place)}"
        for place, suffixes in places.items()
    )
    return f"{where}: no {wanted}; {hint}"


def _read_folder(source: str, root: Path, layout: Layout, wanted: Wanted) -> None:
    places, columns = wanted.places, wanted.columns
    groups = _groups(source, root, layout, places)
    texts = (columns.caption,) if columns.caption else CAPTION_KEYS
    metadata = read_metadata(_metadata_folders(root, groups, places), columns.video or FILE_NAME, texts)
    _check_columns(metadata, columns, wanted.where)
    listed: set[Path] = set()
    for prefix, folder in groups:
        read = read_group if _holds(folder, places) else read_tree
        try:
            read(f"{source}/{prefix}", folder, layout, wanted, metadata, listed)
        except OSError as error:
            if len(groups) == 1:
                raise
            layout.dropped.append(Dropped(f"{source}/{prefix}".rstrip("/"), folder, f"unreadable: {error.strerror}"))
    layout.dropped += [Dropped(f"{source}/{printable(place)}", file, reason) for place, file, reason in metadata.faults]
    layout.ignored.update(metadata.repeated)
    _account_rows(source, metadata, listed, layout)


def _groups(source: str, root: Path, layout: Layout, places: Places) -> list[tuple[str, Path]]:
    """The folders that hold clips, each with the prefix of its ids."""
    below, loose, broken = _entries(root, places)
    for folder in [folder for folder in below if not files.may_list(folder)]:
        below.remove(folder)
        layout.dropped.append(Dropped(f"{source}/{printable(folder.name)}", folder, "unreadable: Permission denied"))
    with_clips = [entry for entry in below if _holds(entry, places)]
    if not _holds(root, places) and not with_clips and metadata_files(root):
        return [("", root)]
    if broken:
        layout.ignored["broken or circular link"] += broken
    if loose:
        layout.ignored["video outside videos/"] += loose
    if _holds(root, places):
        if files.is_dir(root / "images") and "images" not in places:
            layout.ignored["images/ beside videos/: the model reads clips of several frames"] += 1
        if with_clips:
            layout.ignored["folder with its own videos/ beside videos/"] += len(with_clips)
        return [("", root)]
    groups = [entry for entry in below if entry in with_clips or metadata_files(entry)]
    if len(groups) < len(below):
        layout.ignored["folder without videos/"] += len(below) - len(groups)
    return [(f"{printable(entry.name)}/", entry) for entry in _once(groups, layout)]


def _entries(root: Path, places: Places) -> tuple[list[Path], int, int]:
    """The folders in `root` that may hold clips, and the numbers of videos and of broken links in `root` itself."""
    below: list[Path] = []
    loose = broken = 0
    for entry in files.entries(root):
        if entry.is_symlink() and not entry.exists():
            broken += 1
        elif entry.suffix.lower() in VIDEO_SUFFIXES and files.is_file(entry):
            loose += 1
        elif entry.name not in (*places, *_CAPTION_PLACES) and not hidden(entry) and files.is_dir(entry):
            below.append(entry)
    return below, loose, broken


def _once(folders: list[Path], layout: Layout) -> Iterator[Path]:
    """Each folder once, also where a link leads to it again."""
    seen: set[str] = set()
    for folder in sorted(folders, key=lambda folder: (folder.is_symlink(), folder.name)):
        real = files.identity(folder)
        if real in seen:
            layout.ignored["link to a folder that is read already"] += 1
        else:
            seen.add(real)
            yield folder


def _holds(folder: Path, places: Places) -> bool:
    return any(files.is_dir(folder / place) for place in places)


def _metadata_folders(root: Path, groups: list[tuple[str, Path]], places: Places) -> list[Path]:
    """Where metadata files may lie, the nearest to the clips first."""
    nearest_first: list[Path] = []
    for _, folder in groups:
        if _holds(folder, places):
            nearest_first += [*(folder / place for place in places), folder]
        else:
            nearest_first += [path for path, _ in sorted(walk(folder, None), key=lambda found: -len(found[0].parts))]
    return list(dict.fromkeys([*nearest_first, root]))


def _check_columns(metadata: Metadata, columns: ColumnsConfig, where: str) -> None:
    for key, name in (("caption", columns.caption), ("video", columns.video)):
        if name is not None and metadata.columns and name not in metadata.columns:
            hint = nearest_or_all(name, sorted(metadata.columns), "columns")
            place = f"{where.removesuffix('.path')}.columns.{key}"
            raise DataError(f"{place}: no row of {files.shown(metadata.read[0])} has a column {name!r}; {hint}")


def _account_rows(source: str, metadata: Metadata, listed: set[Path], layout: Layout) -> None:
    """Rows whose clip was not met: it is not there, or lies where no clips are read."""
    for path, facts in metadata.rows.items():
        if path in listed:
            continue
        reason = f"no video file: {facts.place} names {path.name}"
        if files.is_file(path):
            reason = f"outside the clips: {facts.place} names {path.parent.name}/{path.name}"
        layout.dropped.append(Dropped(f"{source}/{printable(facts.place)}", path, reason))
