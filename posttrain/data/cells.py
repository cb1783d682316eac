"""Media in the cells of a Parquet file: bytes, or a struct of bytes and a path, as `datasets` writes them.

Parquet is read by row groups, and one column of one at a time: the groups that were read last are held in memory up to
a bound, and a group larger than that is streamed up to the row that is wanted.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from posttrain.data import files
from posttrain.data.held import Held

_ROOM_BYTES = 256 << 20
_footers: Held[Any] = Held(64 << 20)
_groups: Held[Any] = Held(_ROOM_BYTES)


@dataclass(frozen=True)
class Cell:
    """A place in a Parquet file, and the name it goes by below the file's path."""

    row: int
    column: str
    suffix: str

    @property
    def name(self) -> str:
        """`<row>:<column><suffix>`, with what a file name cannot hold written as in a URL."""
        return f"{self.row}:{quote(self.column, safe=' ')}{self.suffix}"

    @classmethod
    def parse(cls, name: str) -> "Cell":
        """The cell of a name; ValueError if it is none."""
        row, _, rest = name.partition(":")
        column, dot, suffix = rest.rpartition(".")
        return cls(int(row), unquote(column), dot + suffix)


def read_cell(file: Path, name: str) -> bytes:
    """The bytes of a cell; none where it is null.

    Raises:
        OSError: the file or the cell cannot be read.
    """
    import pyarrow

    try:
        cell = Cell.parse(name)
        footer = footer_of(file)
        group, row = _group(footer, cell.row)
        value = _value(file, footer, group, row, cell.column)
    except (ValueError, KeyError, IndexError, pyarrow.ArrowException) as error:
        raise OSError(0, f"no cell {name}: {error}") from error
    if isinstance(value, dict):
        value = value.get("bytes")
    return value or b""


def footer_of(file: Path) -> Any:
    """The footer of a Parquet file: its schema and its row groups.

    Raises:
        OSError: it cannot be read, or is no Parquet file.
    """
    import pyarrow
    from pyarrow import parquet

    stamp = files.stamp(file)
    if stamp is None:
        raise FileNotFoundError(2, "No such file or directory", str(file))

    def read() -> tuple[Any, int]:
        with files.open_file(file) as stream:
            footer = parquet.read_metadata(stream)
        return footer, footer.serialized_size

    try:
        return _footers.get((file, *stamp), read)
    except pyarrow.ArrowException as error:
        raise OSError(0, f"no Parquet file: {error}") from error


def read_rows(file: Path, columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
    """The rows, with these columns alone where they are given (`a.b` is a field of a struct).

    Raises:
        OSError: it cannot be read.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        with files.open_file(file) as stream, parquet.ParquetFile(stream, metadata=footer_of(file)) as reader:
            if columns == []:
                yield from ({} for _ in range(reader.metadata.num_rows))
                return
            for batch in reader.iter_batches(batch_size=1024, columns=columns):
                yield from batch.to_pylist()
    except pyarrow.ArrowException as error:
        raise OSError(0, f"damaged Parquet file: {error}") from error


def _group(footer: Any, row: int) -> tuple[int, int]:
    """The row group of a row, and the row's number in it."""
    for group in range(footer.num_row_groups):
        num_rows = footer.row_group(group).num_rows
        if row < num_rows:
            return group, row
        row -= num_rows
    raise IndexError("the file has fewer rows")


def _value(file: Path, footer: Any, group: int, row: int, column: str) -> Any:
    from pyarrow import parquet

    chunks = [footer.row_group(group).column(index) for index in range(footer.row_group(group).num_columns)]
    size = sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema.partition(".")[0] == column)
    with files.open_file(file) as stream, parquet.ParquetFile(stream, metadata=footer, buffer_size=1 << 20) as reader:
        if size > _ROOM_BYTES:
            for number, batch in enumerate(reader.iter_batches(1, row_groups=[group], columns=[column])):
                if number == row:
                    return batch.column(0)[0].as_py()
            raise IndexError("the row group is shorter than it says")

        def read() -> tuple[Any, int]:
            cells = reader.read_row_group(group, columns=[column]).column(0)
            return cells, cells.nbytes

        key = (file, *(files.stamp(file) or ()), group, column)
        return _groups.get(key, read)[row].as_py()
