"""Metadata files beside clips, in the layout of `videofolder` of Hugging Face: `metadata.jsonl`, `.csv` or `.parquet`.

Each row names a clip by `file_name`, relative to the file's own folder; its other columns are the clip's metadata. Of
several rows for a clip the one of the nearest folder counts, and in one folder JSONL goes before CSV before Parquet.
In CSV a value is a number where JSON would read one, true or false where it says so, and absent where it is empty;
captions and file names stay texts.
"""

import csv
import io
import json
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posttrain.data import archives, files
from posttrain.data.captions import CAPTION_KEYS
from posttrain.data.cells import read_rows
from posttrain.data.sample import UnusableClip
from posttrain.data.text import decode_lines, is_text, parse_json

NAMES = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
FILE_NAME = "file_name"
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
_TRUTHS = {"true": True, "false": False}


@dataclass(frozen=True)
class Facts:
    """What a row says of a clip: `place` is the file and the row's number in it, `speaker` what notes call it."""

    place: str
    values: Mapping[str, Any]
    speaker: str = "metadata file"


@dataclass
class Metadata:
    """The rows of all metadata files of a source.

    Attributes:
        rows: by the path of the clip that they name.
        faults: (place, file, reason) of each row that cannot be used.
        columns: the names of all columns.
        repeated: rows that name a clip again.
    """

    rows: dict[Path, Facts] = field(default_factory=dict)
    faults: list[tuple[str, Path, str]] = field(default_factory=list)
    columns: set[str] = field(default_factory=set)
    repeated: Counter[str] = field(default_factory=Counter)
    read: list[Path] = field(default_factory=list)


def metadata_files(folder: Path) -> list[Path]:
    """The metadata files of a folder, the one that counts first."""
    return [folder / name for name in NAMES if files.is_file(folder / name)]


def read_metadata(
    folders: Iterable[Path], file_column: str = FILE_NAME, texts: Collection[str] = CAPTION_KEYS
) -> Metadata:
    """Reads the metadata files of `folders`, the nearest ones first; the columns `texts` hold captions."""
    found = Metadata()
    for file in (file for folder in folders for file in metadata_files(folder)):
        found.read.append(file)
        try:
            for place, row in _READERS[file.suffix](file, {*texts, file_column}):
                _add(found, file, place, row, file_column)
        except (UnusableClip, OSError) as error:
            reason = error.reason if isinstance(error, UnusableClip) else error.strerror or str(error)
            found.faults.append((file.name, file, f"unreadable metadata: {file.name}: {reason}"))
    return found


def jsonable(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The values that the manifest can hold, dates as text; and the names of the others. What is null is absent."""
    kept: dict[str, Any] = {}
    left_out = []
    for name, value in values.items():
        if value is None:
            continue
        try:
            kept[name] = json.loads(json.dumps(value, allow_nan=False, default=_as_text))
        except (TypeError, ValueError):
            left_out.append(name)
    return kept, left_out


def _as_text(value: Any) -> str:
    if hasattr(value, "isoformat"):  # dates and times
        return str(value.isoformat())
    raise TypeError(type(value).__name__)


# A row, or why there is none.
Read = Iterator[tuple[str, dict[str, Any] | UnusableClip]]


def _add(found: Metadata, file: Path, place: str, row: dict[str, Any] | UnusableClip, file_column: str) -> None:
    place = f"{file.name}:{place}"
    try:
        if isinstance(row, UnusableClip):
            raise row
        found.columns.update(row)
        clip = _clip(file, row, file_column)
    except UnusableClip as error:
        found.faults.append((place, file, f"unreadable metadata: {place}: {error.reason}"))
        return
    values, left_out = jsonable({name: value for name, value in row.items() if name != file_column})
    if left_out:
        found.repeated[f"column that JSON cannot hold in {file.name}: {', '.join(left_out)}"] += 1
    if clip in found.rows:
        found.repeated[f"second row for a clip in {file.name}: the first one is used"] += 1
    else:
        found.rows[clip] = Facts(place, values)


def _clip(file: Path, row: Mapping[str, Any], file_column: str) -> Path:
    name = row.get(file_column)
    if not isinstance(name, str) or not name.strip():
        raise UnusableClip(f"it has no {file_column}")
    if "\0" in name or not is_text(name):
        raise UnusableClip(f"its {file_column} is no name: {name[:80]!r}")
    if name.startswith("/") or ".." in name.split("/"):
        raise UnusableClip(f"its {file_column} leaves the folder: {name[:80]}")
    return Path(os.path.normpath(file.parent / name))


def _read_jsonl(file: Path, _: Collection[str]) -> Read:
    for number, line in enumerate(decode_lines(archives.read_bytes(file)).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            if not is_text(line):
                raise UnusableClip("not UTF-8")
            value = parse_json(line)
            if not isinstance(value, dict):
                raise UnusableClip(f"no object: it is a {type(value).__name__}")
            yield str(number), value
        except UnusableClip as error:
            yield str(number), error


def _read_csv(file: Path, texts: Collection[str]) -> Read:
    lines = csv.reader(io.StringIO(decode_lines(archives.read_bytes(file)), newline=""), strict=True)
    header = next(_rows_of(lines), (1, None))[1]
    if not isinstance(header, list):
        raise header or UnusableClip("it has no header")
    for number, cells in _rows_of(lines):
        if isinstance(cells, UnusableClip):
            yield str(number), cells
        elif len(cells) != len(header):
            yield str(number), UnusableClip(f"{len(cells)} cells, the header has {len(header)}")
        else:
            filled = [(name, cell) for name, cell in zip(header, cells, strict=True) if cell != ""]
            yield str(number), {name: cell if name in texts else typed(cell) for name, cell in filled}


def _rows_of(lines: Any) -> Iterator[tuple[int, list[str] | UnusableClip]]:
    """The lines of a CSV file that hold something, with the number of the line that each ends on."""
    while True:
        try:
            cells = next(lines)
        except StopIteration:
            return
        except csv.Error as error:
            yield lines.line_num, UnusableClip(f"no CSV: {error}")
            continue
        if not cells:
            continue
        if any("\0" in cell or not is_text(cell) for cell in cells):
            yield lines.line_num, UnusableClip("not UTF-8" if not all(map(is_text, cells)) else "a NUL in it")
        else:
            yield lines.line_num, cells


def typed(cell: str) -> Any:
    """The value of a text: a number where JSON reads one, true or false, else the text."""
    if cell.lower() in _TRUTHS:
        return _TRUTHS[cell.lower()]
    if _NUMBER.fullmatch(cell) is None:
        return cell
    number = json.loads(cell)
    return number if abs(number) < float("inf") else cell


def _read_parquet(file: Path, _: Collection[str]) -> Read:
    for number, row in enumerate(read_rows(file)):
        yield str(number), row


_READERS = {".jsonl": _read_jsonl, ".csv": _read_csv, ".parquet": _read_parquet}
