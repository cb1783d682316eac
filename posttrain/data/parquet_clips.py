"""The clips of a Parquet file: a column of video bytes, or of structs {bytes, path} as `datasets` writes them.

The other columns are captions and metadata; they are read when the clips are listed, the bytes are not.
"""

from pathlib import Path
from typing import Any

from posttrain.config.data import ColumnsConfig
from posttrain.config.support import nearest_or_all
from posttrain.data import files
from posttrain.data.cells import Cell, footer_of, read_rows
from posttrain.data.clip_files import VIDEO_SUFFIXES, Layout, VideoFile, Wanted
from posttrain.data.decode import IMAGE_SUFFIXES
from posttrain.data.metadata import Facts, jsonable
from posttrain.data.sample import Dropped
from posttrain.errors import DataError

# Tried in this order where several columns hold bytes.
_USUAL = ("video", "mp4", "clip", "image", "bytes")


def read_parquet_clips(prefix: str, shard: Path, layout: Layout, wanted: Wanted) -> None:
    """Lists the clips of one file.

    Raises:
        OSError: it cannot be read, or is no Parquet file.
        DataError: a column of the configuration is not there, or none holds bytes.
    """
    import pyarrow

    try:
        schema = footer_of(shard).schema.to_arrow_schema()
    except pyarrow.ArrowException as error:
        raise OSError(0, f"no schema: {error}") from error
    with_bytes = [field.name for field in schema if _holds_bytes(field.type)]
    medium = _medium(shard, schema.names, with_bytes, wanted.where, wanted.columns)
    caption = wanted.columns.caption
    if caption is not None and caption not in schema.names:
        raise _no_column(shard, schema.names, wanted.where, "caption", caption)
    for name in with_bytes:
        if name != medium and name not in wanted.controls:
            layout.ignored[f"column of bytes that is not read: {name}"] += 1
    texts = [name for name in schema.names if name not in with_bytes]
    path_column = f"{medium}.path" if _has_path(schema.field(medium).type) else None
    beside = [name for name in wanted.controls if name in with_bytes]
    left_out: set[str] = set()
    for number, row in enumerate(read_rows(shard, [*texts, *([path_column] if path_column else [])])):
        own_path = (row.pop(medium, None) or {}).get("path") if path_column else None
        suffix = _suffix(own_path, medium)
        path = shard / Cell(number, medium, suffix).name
        if suffix not in wanted.suffixes:
            layout.dropped.append(Dropped(f"{prefix}{number:06d}", path, f"not a video: {suffix}"))
            continue
        values, unfit = jsonable(row)
        left_out.update(unfit)
        controls_beside = {name: shard / Cell(number, name, ".mp4").name for name in beside}
        facts = Facts(f"{shard.name}:{number}", values, "row")
        layout.videos.append(VideoFile(f"{prefix}{number:06d}", path, None, controls_beside, (facts,)))
    for name in sorted(left_out):
        layout.ignored[f"column that JSON cannot hold: {name}"] += 1


def _holds_bytes(kind: Any) -> bool:
    import pyarrow

    if pyarrow.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0 and _holds_bytes(kind.field("bytes").type)
    return bool(pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind))


def _has_path(kind: Any) -> bool:
    import pyarrow

    return bool(pyarrow.types.is_struct(kind)) and kind.get_field_index("path") >= 0


def _medium(shard: Path, names: list[str], with_bytes: list[str], where: str, columns: ColumnsConfig) -> str:
    if columns.video is not None:
        if columns.video not in with_bytes:
            raise _no_column(shard, with_bytes or names, where, "video", columns.video)
        return columns.video
    if not with_bytes:
        raise OSError(0, f"no column holds bytes of videos; the columns are {', '.join(names)}")
    usual = [name for name in _USUAL if name in with_bytes]
    if not usual and len(with_bytes) > 1:
        raise DataError(
            f"{where.removesuffix('.path')}.columns.video: {', '.join(with_bytes)} of {files.shown(shard)} hold bytes; "
            "name the one that holds the clips"
        )
    return usual[0] if usual else with_bytes[0]


def _no_column(shard: Path, names: list[str], where: str, key: str, wanted: str) -> DataError:
    hint = nearest_or_all(wanted, names, "columns")
    place = f"{where.removesuffix('.path')}.columns.{key}"
    return DataError(f"{place}: {files.shown(shard)} has no such column {wanted!r}; {hint}")


def _suffix(own_path: object, medium: str) -> str:
    """The ending that tells pictures from videos."""
    suffix = Path(own_path).suffix.lower() if isinstance(own_path, str) else ""
    if suffix in (*VIDEO_SUFFIXES, *IMAGE_SUFFIXES):
        return suffix
    return ".png" if medium == "image" else ".mp4"
