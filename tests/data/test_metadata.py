"""Metadata files beside clips: where they may lie, what they say, and who is believed."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from posttrain.config import SourceConfig
from posttrain.config.data import ColumnsConfig
from posttrain.data import ClipSpec, SourceScan, scan
from posttrain.errors import DataError

MakeVideo = Callable[..., Path]
MakeSource = Callable[..., Path]


@pytest.fixture
def clips(tmp_path: Path, make_video: MakeVideo) -> Path:
    """Clips a, b and sub/c that lie right in a folder, without captions."""
    for number, name in enumerate(("a", "b", "sub/c")):
        make_video(tmp_path / "ego" / f"{name}.mp4", [k / 8 for k in range(10)], seed=number)
    return tmp_path / "ego"


def read(root: Path, spec: ClipSpec, **more: object) -> SourceScan:
    return scan("ego", SourceConfig.model_validate({"path": str(root), **more}), spec, Path("/nowhere"))


def said(result: SourceScan) -> dict[str, tuple[str, dict]]:
    return {sample.id: (sample.caption, dict(sample.metadata)) for sample in result.kept}


def lines(*rows: object) -> str:
    return "\n".join(json.dumps(row) for row in rows)


def test_videofolder_with_jsonl(clips: Path, spec: ClipSpec) -> None:
    (clips / "metadata.jsonl").write_text(
        lines(
            {"file_name": "a.mp4", "text": "one", "quality": 0.7, "tags": ["x"], "none": None},
            {"file_name": "b.mp4", "caption": "two", "text": "kept as metadata"},
            {"file_name": "./sub//c.mp4", "prompt": "three"},
        )
    )
    result = read(clips, spec, camera="fixed")
    assert said(result) == {
        "ego/a": ("one", {"quality": 0.7, "tags": ["x"], "camera": "fixed"}),
        "ego/b": ("two", {"text": "kept as metadata", "camera": "fixed"}),
        "ego/sub/c": ("three", {"camera": "fixed"}),
    }
    assert (result.dropped, result.notes, result.ignored) == ([], {}, {})


def test_csv_is_typed_and_captions_stay_text(clips: Path, spec: ClipSpec) -> None:
    (clips / "metadata.csv").write_bytes(
        b"\xef\xbb\xbffile_name,caption,quality,indoor,empty,batch,score,word\r\n"
        b'a.mp4,"one, ""quoted""\nin two lines",0.5,True,,007,-1e3,nan\r\n'
        b"b.mp4,2020,1,false,,12,0,true story\r\n"
        b"sub/c.mp4,three,,,,,,\r\n"
    )
    found = said(read(clips, spec))
    assert found["ego/a"] == (
        'one, "quoted"\nin two lines',
        {"quality": 0.5, "indoor": True, "batch": "007", "score": -1000.0, "word": "nan"},
    )
    assert found["ego/b"] == ("2020", {"quality": 1, "indoor": False, "batch": 12, "score": 0, "word": "true story"})
    assert type(found["ego/b"][1]["quality"]) is int
    assert found["ego/sub/c"] == ("three", {})


def test_beside_videos_and_inside_videos_and_above(tmp_path: Path, make_source: MakeSource, spec: ClipSpec) -> None:
    root = make_source(tmp_path / "ego", {})
    make_source(root / "one", {"a": None, "b": None})
    (root / "metadata.csv").write_text("file_name,caption,place\none/videos/a.mp4,from above,root\n")
    (root / "one" / "metadata.jsonl").write_text(lines({"file_name": "videos/b.mp4", "text": "from beside"}))
    (root / "one" / "videos" / "metadata.csv").write_text("file_name,text\na.mp4,from inside\n")
    result = read(root, spec)
    assert said(result) == {"ego/one/a": ("from inside", {}), "ego/one/b": ("from beside", {})}
    assert result.ignored == {"second row for a clip in metadata.csv: the first one is used": 1}


def test_the_caption_file_goes_before_the_row_and_the_row_before_the_source(
    tmp_path: Path, make_source: MakeSource, spec: ClipSpec
) -> None:
    root = make_source(tmp_path / "ego", {"a": "from the file", "b": "same", "c": None})
    (root / "captions" / "a.json").write_text('{"caption": "from the file", "quality": 0.9, "scene": "x"}')
    (root / "metadata.csv").write_text(
        "file_name,caption,quality,camera\n"
        "videos/a.mp4,from the row,0.3,fixed\n"
        "videos/b.mp4,same,0.5,ego\n"
        "videos/c.mp4,only the row,,\n"
    )
    result = read(root, spec, quality=0.5, camera="ego")
    assert said(result) == {
        "ego/a": ("from the file", {"quality": 0.9, "scene": "x", "camera": "fixed"}),
        "ego/b": ("same", {"quality": 0.5, "camera": "ego"}),
        "ego/c": ("only the row", {"quality": 0.5, "camera": "ego"}),
    }
    assert result.notes == {
        "caption told twice: the caption file's is used, not the metadata file's": 1,
        "quality told twice: the caption file's is used, not the metadata file's": 1,
        "quality told twice: the caption file's is used, not the source's": 1,
        "camera told twice: the metadata file's is used, not the source's": 1,
    }


def test_every_row_is_accounted_for(clips: Path, make_video: MakeVideo, spec: ClipSpec) -> None:
    make_video(clips / "extra.mp4", [k / 8 for k in range(10)], seed=9)
    (clips / "still.png").write_bytes(b"x")
    (clips / "notes.md").write_text("x")
    (clips / "metadata.jsonl").write_bytes(
        lines(
            {"file_name": "a.mp4", "text": "one"},
            {"file_name": "a.mp4", "text": "again"},
            {"file_name": "gone.mp4", "text": "x"},
            {"file_name": "../other/x.mp4", "text": "x"},
            {"file_name": "/etc/passwd", "text": "x"},
            {"file_name": "sub/c.mp4"},
            {"text": "nameless"},
            {"file_name": "still.png", "text": "x"},
            {"file_name": "b.mp4", "text": 3},
            {"file_name": "nul\0.mp4", "text": "x"},
            [1],
        ).encode()
        + b'\n{"file_name": \n{"file_name": "caf\xe9.mp4"}\n\n{"file_name": "a.mp4", "score": NaN}'
    )
    result = read(clips, spec)
    assert said(result) == {"ego/a": ("one", {})}
    place = "unreadable metadata: metadata.jsonl"
    assert {entry.id: entry.reason for entry in result.dropped} == {
        "ego/extra": "no caption: no row in metadata.jsonl",
        "ego/b": 'caption is not text: "text" of metadata.jsonl:9 is a number',
        "ego/sub/c": "no caption: metadata.jsonl:6 has no caption, text or prompt",
        "ego/still.png": "not a video: .png",
        "ego/metadata.jsonl:3": "no video file: metadata.jsonl:3 names gone.mp4",
        "ego/metadata.jsonl:4": f"{place}:4: its file_name leaves the folder: ../other/x.mp4",
        "ego/metadata.jsonl:5": f"{place}:5: its file_name leaves the folder: /etc/passwd",
        "ego/metadata.jsonl:7": f"{place}:7: it has no file_name",
        "ego/metadata.jsonl:10": f"{place}:10: its file_name is no name: 'nul\\x00.mp4'",
        "ego/metadata.jsonl:11": f"{place}:11: no object: it is a list",
        "ego/metadata.jsonl:12": f"{place}:12: no JSON: Expecting value: line 1 column 15 (char 14)",
        "ego/metadata.jsonl:13": f"{place}:13: not UTF-8",
        "ego/metadata.jsonl:15": f"{place}:15: no JSON: NaN is not JSON",
    }
    assert result.ignored == {
        "second row for a clip in metadata.jsonl: the first one is used": 1,
        "no clip beside metadata: .md": 1,
    }


def test_a_clip_with_a_caption_file_and_without_a_row_is_a_note(
    tmp_path: Path, make_source: MakeSource, spec: ClipSpec
) -> None:
    root = make_source(tmp_path / "ego", {"a": "one", "b": "two"})
    (root / "metadata.csv").write_text("file_name,quality\nvideos/a.mp4,0.5\n")
    result = read(root, spec)
    assert said(result) == {"ego/a": ("one", {"quality": 0.5}), "ego/b": ("two", {})}
    assert result.notes == {"no row in metadata.csv": 1}


def test_columns_of_other_names(clips: Path, spec: ClipSpec) -> None:
    (clips / "metadata.csv").write_text("clip,long_text,caption\na.mp4,long,short\nb.mp4,,short\n")
    result = read(clips, spec, columns={"caption": "long_text", "video": "clip"})
    assert said(result) == {"ego/a": ("long", {"caption": "short"})}
    assert {entry.id: entry.reason for entry in result.dropped} == {
        "ego/b": "no caption: metadata.csv:3 has no long_text",
        "ego/sub/c": "no caption: no row in metadata.csv",
    }
    source = SourceConfig(path=str(clips), columns=ColumnsConfig(caption="long_txt", video="clip"))
    with pytest.raises(
        DataError, match=r"data\.sources\.ego\.columns\.caption: .*'long_txt'; did you mean 'long_text'"
    ):
        scan("ego", source, spec, Path("/nowhere"))


def test_parquet_metadata(clips: Path, spec: ClipSpec) -> None:
    table = pyarrow.table(
        {"file_name": ["a.mp4", "b.mp4"], "text": ["one", "two"], "n": [1, None], "raw": [b"x", None]}
    )
    parquet.write_table(table, clips / "metadata.parquet")
    result = read(clips, spec)
    assert said(result) == {"ego/a": ("one", {"n": 1}), "ego/b": ("two", {})}
    assert result.ignored == {"column that JSON cannot hold in metadata.parquet: raw": 1}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32", "utf-8-sig"])
def test_a_byte_order_mark_is_believed(clips: Path, spec: ClipSpec, encoding: str) -> None:
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    (clips / "metadata.csv").write_bytes(f"{mark}file_name,text\r\na.mp4,日本\r\n".encode(encoding))
    assert said(read(clips, spec)) == {"ego/a": ("日本", {})}


def test_csv_lines_that_cannot_be_read(clips: Path, spec: ClipSpec) -> None:
    (clips / "metadata.csv").write_bytes(
        b"file_name,text\na.mp4,one\nb.mp4,two,three\nx.mp4\ny.mp4,a\0b\n"
        b"z.mp4,caf\xe9\n" + b"w.mp4," + b"x" * 200_000 + b'\nv.mp4,"never closed\n'
    )
    result = read(clips, spec)
    place = "unreadable metadata: metadata.csv"
    assert said(result) == {"ego/a": ("one", {})}
    assert {entry.id: entry.reason for entry in result.dropped if "metadata.csv:" in entry.id} == {
        "ego/metadata.csv:3": f"{place}:3: 3 cells, the header has 2",
        "ego/metadata.csv:4": f"{place}:4: 1 cells, the header has 2",
        "ego/metadata.csv:5": f"{place}:5: a NUL in it",
        "ego/metadata.csv:6": f"{place}:6: not UTF-8",
        "ego/metadata.csv:7": f"{place}:7: no CSV: field larger than field limit (131072)",
        "ego/metadata.csv:8": f"{place}:8: no CSV: unexpected end of data",
    }
