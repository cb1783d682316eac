"""Rows in a WebDataset tar: `key.json` is a record like any other, `key.jpg` or `key.mp4` its media, read in place."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from posttrain.data import archives
from posttrain.data.clip_files import VIDEO_SUFFIXES
from posttrain.data.decode import IMAGE_SUFFIXES
from posttrain.data.sample import UnusableClip
from posttrain.data.tars import index_of, key_of
from posttrain.data.text import parse_json


def read_tar_rows(tar: Path) -> Iterator[tuple[str, Path, dict[str, Any] | None, str | None]]:
    """Of each key: what it is called, its record's place in the tar, the record, or why there is none.

    A record that names no medium, or one that is no member, gets those of its key.

    Raises:
        OSError: the tar cannot be read, or is none.
    """
    index = index_of(tar)
    for name, reason in index.unfit:
        yield name, tar, None, reason
    keys: dict[str, list[str]] = {}
    for name in index.members:
        keys.setdefault(key_of(name)[0], []).append(name)
    for key, members in sorted(keys.items()):
        record = next((name for name in members if name.lower().endswith(".json")), None)
        if record is None:
            yield key, tar, None, f"no record: {key}.json is not in {tar.name}"
            continue
        try:
            value = parse_json(archives.read_bytes(tar / record))
            if not isinstance(value, dict):
                raise UnusableClip(f"no object: it is a {type(value).__name__}")
            yield key, tar / record, _with_media(value, tar / record, sorted(members)), None
        except UnusableClip as error:
            yield key, tar / record, None, error.reason


def _with_media(value: dict[str, Any], record: Path, members: list[str]) -> dict[str, Any]:
    own = {
        "images": [name for name in members if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES],
        "video": [name for name in members if PurePosixPath(name).suffix.lower() in VIDEO_SUFFIXES],
    }
    named = [
        name
        for field in ("image", "images", "video")
        for name in (value[field] if isinstance(value.get(field), list) else [value.get(field)])
        if name is not None
    ]
    if named and all(not isinstance(name, str) or archives.is_medium(record.parent / name) for name in named):
        return value
    # paths in a record start at its own folder
    found = {field: [PurePosixPath(name).name for name in names] for field, names in own.items() if names}
    if not found:
        return value
    media: dict[str, Any] = {field: names if field == "images" else names[0] for field, names in found.items()}
    return {name: part for name, part in value.items() if name not in ("image", "images", "video")} | media
