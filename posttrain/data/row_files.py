"""The records of a source of rows: one JSON or JSONL file, a `datasets` folder, Parquet files, tars, or a hub id.

A folder is read when it is one of these or holds one; where it holds none, its folders are (one level below, like the
folders of clips). What is not a record comes out as a fault with its place, so that it can be counted.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posttrain.data import hub
from posttrain.data.places import HUB_ID, suggestion
from posttrain.data.row_tars import read_tar_rows
from posttrain.data.sample import UnusableClip
from posttrain.data.text import decode_text, is_utf8, parse_json
from posttrain.errors import DataError

_JSON = (".json", ".jsonl")
_SHARDS = (".parquet", ".tar")
# What `datasets` writes beside a set's Arrow files.
_SAVED, _SAVED_SPLITS = "state.json", "dataset_dict.json"
_BATCH = 256


@dataclass(frozen=True)
class Record:
    """One record: `value`, or why there is none; paths in it start at `file`'s folder."""

    prefix: str
    place: str
    file: Path
    value: dict[str, Any] | None
    fault: str | None = None


Reader = Callable[[str, Path], Iterator[Record]]


def read_records(path: Path, where: str) -> Iterator[Record]:
    """The records of the source at `path`; `where` is the configuration path that errors name.

    Raises:
        DataError: nothing is there, or nothing or too much that could be meant; a file is no JSON at all.
        EnvironmentFault: a hub id that is not cached, and no network.
    """
    try:
        yield from _records(path, where)
    except OSError as error:
        raise DataError(f"{where}: {error.filename or path} cannot be read: {error.strerror or error}") from error


def read_hub(path: str, local: Path, where: str) -> Iterator[Record]:
    """The records of a data set on the hub, `owner/name@revision:split`; embedded media are in the records.

    Args:
        local: the place on the disk that `path` could have meant, where nothing is.

    Raises:
        DataError, EnvironmentFault: see `hub.load_rows`.
    """
    from datasets import DatasetDict

    named = HUB_ID.fullmatch(path)
    assert named is not None, "is_local has said so"
    place = f"{where}: there is no folder {local}{suggestion(local)}"
    found = hub.load_rows(named["id"], named["revision"], named["split"], place)
    if isinstance(found, DatasetDict):
        name = named["id"]
        found = found[_only_split(list(found), f"{where}: {name}", f"give {name}:{next(iter(found))}")]
    yield from _arrow_records("", Path(named["id"]), found)


def _records(path: Path, where: str) -> Iterator[Record]:
    if not path.exists():
        raise DataError(
            f"{where}: {path} is not there{suggestion(path)}; give a JSON or JSONL file, a folder that holds one, a "
            "datasets folder, a hub id or demo:<name>"
        )
    if path.is_file():
        if path.suffix.lower() not in (*_JSON, *_SHARDS):
            raise DataError(f"{where}: {path} is no JSON, JSONL, Parquet or tar file")
        yield from _read_file("", path)
        return
    reader = _reader(path, where)
    if reader is not None:
        yield from reader("", path)
        return
    below = [folder for folder in sorted(path.iterdir()) if folder.is_dir() and not folder.name.startswith(".")]
    readers = [(folder, found) for folder in below if (found := _reader(folder, where)) is not None]
    if not readers:
        listed = ", ".join(sorted(entry.name for entry in path.iterdir())[:12]) or "nothing"
        raise DataError(
            f"{where}: {path} holds no JSON, JSONL, Parquet or tar file and no datasets folder; it holds {listed}"
        )
    for folder, found in readers:
        yield from found(f"{folder.name}/", folder)


def _reader(folder: Path, where: str) -> Reader | None:
    """How `folder` is read; None where nothing in it is a set of rows."""
    if (folder / _SAVED_SPLITS).is_file():
        splits = json.loads((folder / _SAVED_SPLITS).read_text(encoding="utf-8"))["splits"]
        split = _only_split(splits, f"{where}: {folder}", f"give {folder / splits[0]}")
        return lambda prefix, path: _read_saved(prefix, path / split)
    if (folder / _SAVED).is_file():
        return _read_saved
    files = [entry for entry in sorted(folder.iterdir()) if entry.is_file() and not entry.name.startswith(".")]
    shards = [entry for entry in files if entry.suffix.lower() in _SHARDS]
    texts = [entry for entry in files if entry.suffix.lower() in _JSON]
    if len(texts) > 1 or (texts and shards):
        listed = ", ".join(entry.name for entry in [*texts, *shards][:12])
        raise DataError(f"{where}: {folder} holds more than one set of rows: {listed}; give the file that is meant")
    if texts:
        return lambda prefix, _: _read_file(prefix, texts[0])
    if shards:
        return lambda prefix, _: (record for file in shards for record in _read_file(prefix, file))
    return None


def _only_split(splits: list[str], place: str, remedy: str) -> str:
    if len(splits) > 1:
        raise DataError(f"{place} holds the splits {', '.join(splits)}; name one: {remedy}")
    return splits[0]


def _read_file(prefix: str, file: Path) -> Iterator[Record]:
    readers = {".json": _read_json, ".jsonl": _read_jsonl, ".parquet": _read_parquet, ".tar": _read_tar}
    return readers[file.suffix.lower()](prefix, file)


def _read_json(prefix: str, file: Path) -> Iterator[Record]:
    try:
        values = parse_json(file.read_bytes())
    except UnusableClip as error:
        raise DataError(f"{file}: {error.reason}") from error
    if not isinstance(values, list):
        raise DataError(f"{file}: it holds a {type(values).__name__}, expected a list of rows")
    for number, value in enumerate(values):
        yield _record(prefix, f"row-{number}", file, value)


def _read_jsonl(prefix: str, file: Path) -> Iterator[Record]:
    with file.open("rb") as stream:
        # UTF-16 has no bytes that end a line; such a file is read as a whole
        marked = not is_utf8(stream.read(4))
        stream.seek(0)
        lines: Iterable[bytes | str] = decode_text(stream.read()).split("\n") if marked else stream
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            place = f"line-{number}"
            try:
                yield _record(prefix, place, file, parse_json(line))
            except UnusableClip as error:
                yield Record(prefix, place, file, None, error.reason)


def _read_tar(prefix: str, file: Path) -> Iterator[Record]:
    try:
        for place, member, value, fault in read_tar_rows(file):
            yield Record(prefix, f"{file.stem}-{place}", member, value, fault)
    except OSError as error:
        yield Record(prefix, file.name, file, None, f"unreadable shard: {error.strerror or error}")


def _read_parquet(prefix: str, file: Path) -> Iterator[Record]:
    import pyarrow
    from pyarrow import parquet

    try:
        number = 0
        for batch in parquet.ParquetFile(file).iter_batches(batch_size=_BATCH):
            for value in batch.to_pylist():
                yield _record(prefix, f"{file.stem}-row-{number}", file, value)
                number += 1
    except pyarrow.ArrowException as error:
        raise DataError(f"{file}: it is no whole Parquet file ({error})") from error


def _read_saved(prefix: str, folder: Path) -> Iterator[Record]:
    from datasets import load_from_disk

    try:
        found = load_from_disk(str(folder))
    except (ValueError, KeyError) as error:
        raise DataError(f"{folder}: datasets cannot read it ({error}); write it again with save_to_disk") from error
    yield from _arrow_records(prefix, folder / _SAVED, found)


def _arrow_records(prefix: str, file: Path, found: Any) -> Iterator[Record]:
    # as Arrow holds them: the library would decode every picture, and needs torchcodec for videos
    number = 0
    for table in found.with_format("arrow").iter(batch_size=_BATCH):
        for value in table.to_pylist():
            yield _record(prefix, f"row-{number}", file, value)
            number += 1


def _record(prefix: str, place: str, file: Path, value: Any) -> Record:
    if not isinstance(value, dict):
        return Record(prefix, place, file, None, f"no object: it is a {type(value).__name__}")
    return Record(prefix, place, file, value)
