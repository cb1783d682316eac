"""Clips in shards: which shards a source's path means, and the clips in each, listed without reading any of them.

A source may be one shard, a pattern (`shards/{000..012}.tar`, `shards/*.parquet`), or a folder that holds shards (or
whose folders do). Clips come in the order of their ids, as those of folders do: the order of training is that of the
mixture over this list, whatever a clip is stored in.
"""

import glob
import itertools
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from posttrain.data import files, remote
from posttrain.data.archives import PARQUET, TAR
from posttrain.data.clip_files import Layout, Wanted, hidden, printable
from posttrain.data.metadata import NAMES, metadata_files
from posttrain.data.parquet_clips import read_parquet_clips
from posttrain.data.sample import Dropped
from posttrain.data.tar_clips import read_tar_clips
from posttrain.data.tars import index_of
from posttrain.errors import DataError

_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_CHOICE = re.compile(r"\{([^{}]*,[^{}]*)\}")
# How the hub names the shards of a split.
_OF_SPLIT = re.compile(r"(.+?)-\d{5}-of-\d{5}\b")
_SPLITS = ("train", "training", "test", "testing", "validation", "valid", "val", "dev", "eval")
_MAX_PATTERN = 100_000
_MAX_THREADS = 8
_NOT_THERE = "no file, the pattern names it"


def shards_at(
    source: str, root: Path, where: str, split: str | None, places: Sequence[str], layout: Layout
) -> list[Path] | None:
    """The shards that a source's path means, in order; None where it is a folder of clips, or nothing.

    `places` are the folders that make a folder one of clips; what lies beside shards is counted in `layout`.

    Raises:
        DataError: a pattern fits nothing, or there are several splits and none is named.
    """
    if _is_pattern(root):
        return _of_pattern(source, root, where, layout)
    if _is_shard(root) and not files.is_dir(root):
        return [root] if files.is_file(root) else None
    if not files.is_dir(root) or any(files.is_dir(root / place) for place in places) or metadata_files(root):
        return None
    entries = [entry for entry in files.entries(root) if not hidden(entry)]
    found = [entry for entry in entries if _is_shard(entry)]
    shut: list[Path] = []
    if not found:
        below = [entry for entry in entries if files.is_dir(entry)]
        shut = [folder for folder in below if not files.may_list(folder)]
        below = [folder for folder in below if folder not in shut]
        clips = [folder for folder in below if any(files.is_dir(folder / place) for place in places)]
        if not clips:
            entries = [entry for folder in below for entry in files.entries(folder) if not hidden(entry)]
            found = [entry for entry in entries if _is_shard(entry)]
    if not found:
        return None
    for folder in shut:
        layout.dropped.append(Dropped(f"{source}/{printable(folder.name)}", folder, "unreadable: Permission denied"))
    for entry in entries:
        if entry not in found:
            layout.ignored[f"beside shards: {'a folder' if files.is_dir(entry) else entry.suffix or 'no suffix'}"] += 1
    return _of_split(found, split, root, where)


def read_shards(source: str, shards: Sequence[Path], layout: Layout, wanted: Wanted) -> None:
    """Lists the clips of all shards; a shard that cannot be read is dropped with the reason.

    Raises:
        DataError: a column of the configuration is not there.
    """
    names = _names(shards)
    far = [shard for shard in shards if remote.is_remote(shard) and shard.suffix.lower() == TAR]
    with ThreadPoolExecutor(_MAX_THREADS) as pool:  # an index is one small request after the other
        list(pool.map(_index_ahead, far))
    for shard, name in zip(shards, names, strict=True):
        prefix = f"{source}/{printable(name)}/" if len(shards) > 1 else f"{source}/"
        try:
            if shard.name.lower().endswith(_COMPRESSED):
                raise OSError(0, "it is compressed, so no clip can be read alone; write it as plain .tar")
            if shard.suffix.lower() == PARQUET:
                read_parquet_clips(prefix, shard, layout, wanted)
            else:
                read_tar_clips(prefix, shard, layout, wanted)
        except OSError as error:
            reason = f"unreadable shard: {error.strerror or error}"
            layout.dropped.append(Dropped(f"{source}/{printable(shard.name)}", shard, reason))


def _index_ahead(shard: Path) -> None:
    with suppress(OSError):  # told when the shard is read
        index_of(shard)


def _names(shards: Sequence[Path]) -> list[str]:
    """What shards are called in ids: by their stems, by their folders too where stems are shared."""
    stems = [shard.stem for shard in shards]
    if len(set(stems)) == len(stems):
        return stems
    longer = [f"{shard.parent.name}/{shard.stem}" for shard in shards]
    return longer if len(set(longer)) == len(longer) else [f"{shard.parent.name}/{shard.name}" for shard in shards]


def _is_shard(path: Path) -> bool:
    name = path.name.lower()
    return path.name not in NAMES and (path.suffix.lower() in (TAR, PARQUET) or name.endswith(_COMPRESSED))


def _is_pattern(root: Path) -> bool:
    if not any(mark in str(root) for mark in "*?[{"):
        return False
    # a folder may be called so; a URL is not asked for, that would be one request to a name that is none
    return remote.is_remote(root) or not (files.is_dir(root) or files.is_file(root))


def _of_pattern(source: str, root: Path, where: str, layout: Layout) -> list[Path]:
    found: list[Path] = []
    for text in _braces(str(root), where):
        path = Path(text)
        matches = [path] if not glob.has_magic(text) else _matches(path, where)
        found += matches
    missing = [path for path in found if not files.is_file(path)]
    shards = [path for path in found if _is_shard(path) and path not in missing]
    if not shards:
        raise DataError(f"{where}: no .tar or .parquet fits {files.shown(root)}; look at the pattern")
    for path in missing:
        layout.dropped.append(Dropped(f"{source}/{printable(path.name)}", path, f"unreadable shard: {_NOT_THERE}"))
    for path in found:
        if path not in shards and path not in missing:
            layout.ignored[f"beside shards: {path.suffix or 'no suffix'}"] += 1
    return list(dict.fromkeys(shards))


def _matches(path: Path, where: str) -> list[Path]:
    if not remote.is_remote(path):
        return sorted(map(Path, glob.glob(str(path), recursive=True)))  # noqa: PTH207 - `path` is the pattern
    if path.parts[0] in ("http:", "https:"):
        raise DataError(f"{where}: a web server lists no files for {remote.url(path)}; write it with {{000..012}}")
    return remote.matches(path)


def _braces(text: str, where: str) -> Iterator[str]:
    """What a pattern with `{000..012}` and `{a,b}` stands for."""
    pieces: list[list[str]] = []
    rest = text
    while found := min(filter(None, (_RANGE.search(rest), _CHOICE.search(rest))), key=re.Match.start, default=None):
        pieces.append([rest[: found.start()]])
        if found.re is _CHOICE:
            pieces.append(found[1].split(","))
        else:
            first, last = int(found[1]), int(found[2])
            if not 0 <= last - first < _MAX_PATTERN:
                raise DataError(f"{where}: {found[0]} of {text} runs backwards, or names too many shards")
            pieces.append([str(number).zfill(len(found[1])) for number in range(first, last + 1)])
        rest = rest[found.end() :]
    return map("".join, itertools.product(*pieces, [rest]))


def _of_split(shards: list[Path], split: str | None, root: Path, where: str) -> list[Path]:
    """Those of one split: reading training and test clips as one would spoil every measurement."""
    splits: dict[str, list[Path]] = {}
    for shard in shards:
        named = _OF_SPLIT.match(shard.name)
        folder = shard.parent.name if shard.parent != root and shard.parent.name in _SPLITS else ""
        splits.setdefault(named[1] if named else folder, []).append(shard)
    if split is not None:
        if split not in splits:
            raise DataError(f"{where}: {files.shown(root)} has no split {split}; it has {', '.join(sorted(splits))}")
        return splits[split]
    if len(splits) > 1:
        listed = ", ".join(sorted(name or "one without a name" for name in splits))
        example = splits[max(splits)][0]
        raise DataError(
            f"{where}: {files.shown(root)} holds the splits {listed}; name one: a pattern such as "
            f"{files.shown(example.parent)}/{max(splits)}-*{example.suffix}, or owner/name:split of a hub id"
        )
    return shards
