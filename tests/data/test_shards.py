"""Clips in tars and Parquet files: the same clips as in folders, read in place."""

import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from posttrain.config import SourceConfig
from posttrain.data import ClipSpec, MixtureSchedule, SourceScan, Stage, decode, scan
from posttrain.data.archives import open_bytes, stamp
from posttrain.data.tars import build
from posttrain.errors import DataError
from tests.shard_files import tar_of, write_parquet, write_tar

MakeVideo = Callable[..., Path]
MakeSource = Callable[..., Path]
STEMS = ("a", "b", "c", "d", "e")


def read(path: Path | str, spec: ClipSpec, **more: object) -> SourceScan:
    return scan("ego", SourceConfig.model_validate({"path": str(path), **more}), spec, Path("/nowhere"))


@pytest.fixture
def folder(tmp_path: Path, make_source: MakeSource) -> Path:
    return make_source(tmp_path / "folder", {stem: f"caption of {stem}" for stem in STEMS})


@pytest.fixture
def tars(tmp_path: Path, folder: Path) -> Path:
    tar_of(tmp_path / "tars" / "000.tar", folder, ("b", "a", "c"))  # out of order
    tar_of(tmp_path / "tars" / "001.tar", folder, ("d", "e"))
    return tmp_path / "tars"


@pytest.fixture
def cells(tmp_path: Path, folder: Path) -> Path:
    for name, stems in (("0", STEMS[:3]), ("1", STEMS[3:])):
        videos = [{"bytes": (folder / "videos" / f"{stem}.mp4").read_bytes(), "path": f"{stem}.mp4"} for stem in stems]
        captions = [f"caption of {stem}" for stem in stems]
        write_parquet(tmp_path / "cells" / f"{name}.parquet", {"video": videos, "caption": captions})
    return tmp_path / "cells"


@pytest.mark.parametrize("kind", ["tars", "cells"])
def test_shards_are_the_clips_of_a_folder_in_the_same_order(
    request: pytest.FixtureRequest, folder: Path, spec: ClipSpec, kind: str
) -> None:
    """Content hashes name encodings, and positions name draws: both are those of plain files."""
    plain, shards = read(folder, spec), read(request.getfixturevalue(kind), spec)
    assert [(sample.caption, sample.content_hash) for sample in shards.kept] == [
        (sample.caption, sample.content_hash) for sample in plain.kept
    ]
    assert (shards.dropped, shards.notes, shards.ignored) == ([], {}, {})
    for one, other in zip(plain.kept, shards.kept, strict=True):
        assert np.array_equal(decode(one.video, spec), decode(other.video, spec))
    order = [_order(scanned) for scanned in (plain, shards)]
    assert order[0] == order[1]


def _order(scanned: SourceScan) -> list[str]:
    """The content of 12 draws, of which the last 5 come from a schedule that was resumed."""
    schedule = MixtureSchedule({"ego": len(scanned.kept)}, [Stage("all", 12, {"ego": 1.0})], seed=3)
    drawn = [schedule.draw() for _ in range(7)]
    resumed = MixtureSchedule({"ego": len(scanned.kept)}, [Stage("all", 12, {"ego": 1.0})], seed=3)
    resumed.load_state_dict(json.loads(json.dumps(schedule.state_dict())))
    drawn += [resumed.draw() for _ in range(5)]
    return [scanned.kept[draw[1]].content_hash for draw in drawn if draw is not None]


def test_ids_name_the_shard_where_there_are_several(tars: Path, cells: Path, spec: ClipSpec) -> None:
    assert [sample.id for sample in read(tars, spec).kept][2:4] == ["ego/000/c", "ego/001/d"]
    assert [sample.id for sample in read(tars / "001.tar", spec).kept] == ["ego/d", "ego/e"]
    assert [sample.id for sample in read(cells, spec).kept][2:4] == ["ego/0/000002", "ego/1/000000"]


@pytest.mark.parametrize(
    ("pattern", "count"),
    [
        ("*.tar", 5),
        ("{000..001}.tar", 5),
        ("00{1,0}.tar", 5),
        ("{001..001}.tar", 2),
        ("00[1].tar", 2),
        ("**/*1.tar", 2),
    ],
)
def test_patterns(tars: Path, spec: ClipSpec, pattern: str, count: int) -> None:
    assert len(read(tars / pattern, spec).kept) == count


def test_a_pattern_that_names_what_is_not_there(tars: Path, spec: ClipSpec) -> None:
    result = read(tars / "{000..002}.tar", spec)
    assert [(entry.video.name, entry.reason) for entry in result.dropped] == [
        ("002.tar", "unreadable shard: no file, the pattern names it")
    ]
    with pytest.raises(DataError, match=r"no \.tar or \.parquet fits .*x\*\.tar"):
        read(tars / "x*.tar", spec)
    with pytest.raises(DataError, match="runs backwards"):
        read(tars / "{9..1}.tar", spec)
    with pytest.raises(DataError, match="too many"):
        read(tars / "{0..999999999999}.tar", spec)


def test_a_clip_is_read_by_its_byte_range(tars: Path, folder: Path) -> None:
    member = tars / "000.tar" / "a.mp4"
    with open_bytes(member) as file:
        data = (folder / "videos" / "a.mp4").read_bytes()
        file.seek(-10, os.SEEK_END)
        assert file.read() == data[-10:]
        file.seek(3)
        assert file.read(5) == data[3:8]
        assert file.seek(0) == 0
        assert file.read() == data
    before = stamp(member)
    os.utime(tars / "000.tar", ns=(1, 1))
    assert stamp(member) != before
    with pytest.raises(FileNotFoundError):
        open_bytes(tars / "000.tar" / "z.mp4")


def test_the_index_is_built_from_headers_alone(tars: Path, folder: Path) -> None:
    class Counting(io.FileIO):
        num_bytes = 0

        def read(self, size: int = -1, /) -> bytes:
            data = super().read(size)
            self.num_bytes += len(data)
            return data

    size = (tars / "000.tar").stat().st_size
    with Counting(tars / "000.tar") as file:
        index = build(file, size)
        texts = sum((folder / "captions" / f"{stem}.json").stat().st_size for stem in "abc")
        # a header of 512 bytes and a probe of one for each member, the captions, and the end of the tar
        assert file.num_bytes <= 6 * 513 + texts + 513 + tarfile.RECORDSIZE
        assert file.num_bytes < size / 3
    assert [name for name in index.members if name.endswith(".mp4")] == ["b.mp4", "a.mp4", "c.mp4"]


def test_the_index_is_kept_until_the_shard_changes(tars: Path, folder: Path, cache: Path, spec: ClipSpec) -> None:
    read(tars, spec)
    kept = {file: file.stat().st_ino for file in (cache / "shards").iterdir()}
    assert len(kept) == 2
    read(tars, spec)
    assert {file: file.stat().st_ino for file in (cache / "shards").iterdir()} == kept
    tar_of(tars / "000.tar", folder, ("e", "d"))
    assert [sample.id for sample in read(tars, spec).kept][:2] == ["ego/000/d", "ego/000/e"]


def test_fields_of_a_key(tmp_path: Path, folder: Path, spec: ClipSpec) -> None:
    clips = {stem: (folder / "videos" / f"{stem}.mp4").read_bytes() for stem in STEMS}
    shard = write_tar(
        tmp_path / "x.tar",
        {
            "./walk/a.mp4": clips["a"],
            "./walk/a.txt": "aus Text\n".encode("utf-16"),
            "./walk/a.cls": b"3",
            "b.MP4": clips["b"],
            "b.json": b'{"text": "no caption in a caption file", "quality": 0.25, "prompt": "asked"}',
            "b.cls": b"left turn",
            "c.mp4": clips["c"],
            "c.json": b'{"quality": 1}',
            "c.txt": b"from the text",
            "d.mp4": clips["d"],
            "d.json": b'"one"',
            "d.txt": b"two",
            "d.npy": b"x",
            "e.v2.mp4": clips["e"],
            "e.txt": b"x",
            "._a.mp4": b"x",
            "deep.tar": b"x",
            "nobody.json": b"{}",
        },
    )
    result = read(shard, spec, quality=0.5)
    assert {sample.id: (sample.caption, dict(sample.metadata)) for sample in result.kept} == {
        "ego/walk/a": ("aus Text", {"cls": 3, "quality": 0.5}),
        "ego/b": ("asked", {"text": "no caption in a caption file", "quality": 0.25, "cls": "left turn"}),
        "ego/c": ("from the text", {"quality": 1}),
        "ego/d": ("one", {"quality": 0.5}),
    }
    assert {entry.id: entry.reason for entry in result.dropped} == {
        "ego/e": "no clip: a key ends at the first dot of a name, so e.v2.mp4 is the field v2.mp4 of e"
    }
    assert result.notes == {
        "caption told twice: the caption file's is used, not the text's": 1,
        "quality told twice: the caption file's is used, not the source's": 2,
    }
    assert result.ignored == {
        "hidden file in a shard": 1,
        "member of a shard that is not read: .npy": 1,
        "member of a shard that is not read: .tar": 1,
        "caption without a video": 2,
    }


def test_columns_name_fields_of_tars(tmp_path: Path, folder: Path, spec: ClipSpec) -> None:
    clips = [(folder / "videos" / f"{stem}.mp4").read_bytes() for stem in "ab"]
    members = {"a.left.mp4": clips[0], "a.right.mp4": clips[1], "a.long": b"the long one", "a.txt": b"short"}
    shard = write_tar(tmp_path / "x.tar", {**members, "a.json": b'{"caption": "c"}'})
    result = read(shard, spec, columns={"video": "left.mp4", "caption": "long"})
    assert [(sample.id, sample.caption, dict(sample.metadata)) for sample in result.kept] == [
        ("ego/a", "the long one", {"caption": "c"})
    ]
    assert result.kept[0].video == shard / "a.left.mp4"
    assert result.ignored == {
        "member of a shard that is not read: .right.mp4": 1,
        "member of a shard that is not read: .txt": 1,
    }


def test_controls_in_shards(tmp_path: Path, folder: Path) -> None:
    wanted = ClipSpec(frames=9, height=32, width=32, fps=8.0, controls=("depth",))
    clips = {stem: (folder / "videos" / f"{stem}.mp4").read_bytes() for stem in "abc"}
    shard = write_tar(
        tmp_path / "x.tar",
        {"a.mp4": clips["a"], "a.depth.mp4": clips["b"], "a.txt": b"one", "b.mp4": clips["b"], "b.txt": b"two"},
    )
    result = read(shard, wanted)
    assert {name: control.path for name, control in result.kept[0].controls.items()} == {"depth": shard / "a.depth.mp4"}
    assert [entry.reason for entry in result.dropped] == ["no depth control"]
    columns = {"video": [clips["a"], clips["b"]], "depth": [clips["b"], None], "text": ["one", "two"]}
    result = read(write_parquet(tmp_path / "x.parquet", columns), wanted)
    assert [sample.id for sample in result.kept] == ["ego/000000"]
    assert [entry.reason for entry in result.dropped] == ["depth control 0 bytes"]


def test_columns_of_parquet(tmp_path: Path, folder: Path, spec: ClipSpec) -> None:
    clips = [(folder / "videos" / f"{stem}.mp4").read_bytes() for stem in "abc"]
    columns = {
        "clip data": [*clips, None, b""],
        "thumbnail": [b"x"] * 5,
        "long_text": ["one", "two", None, "four", "five"],
        "quality": [0.5, None, 1.0, 1.0, 1.0],
        "when": [np.datetime64("2024-01-02T03:04:05")] * 5,
    }
    file = write_parquet(tmp_path / "x.parquet", columns)
    with pytest.raises(DataError, match=r"columns\.video: clip data, thumbnail of .*x\.parquet hold bytes"):
        read(file, spec)
    with pytest.raises(DataError, match=r"ego\.columns\.video: .* no such column 'clipdata'; did you mean 'clip data'"):
        read(file, spec, columns={"video": "clipdata"})
    with pytest.raises(DataError, match=r"columns\.caption: .* no such column 'longtext'; did you mean 'long_text'"):
        read(file, spec, columns={"video": "clip data", "caption": "longtext"})
    result = read(file, spec, columns={"video": "clip data", "caption": "long_text"})
    when = "2024-01-02T03:04:05"
    assert [(sample.caption, dict(sample.metadata)) for sample in result.kept] == [
        ("one", {"quality": 0.5, "when": when}),
        ("two", {"when": when}),
    ]
    assert {entry.id: entry.reason for entry in result.dropped} == {
        "ego/000002": "no caption: x.parquet:2 has no long_text",
        "ego/000003": "0 bytes",
        "ego/000004": "0 bytes",
    }
    assert result.ignored == {"column of bytes that is not read: thumbnail": 1}


def test_a_folder_of_folders_of_shards_and_what_lies_beside(tars: Path, folder: Path, spec: ClipSpec) -> None:
    root = tars.parent / "nested"
    tar_of(root / "walk" / "0.tar", folder, ("a",))
    tar_of(root / "run" / "0.tar", folder, ("b",))
    (root / "walk" / "README.md").write_text("x")
    (root / "empty").mkdir()
    result = read(root, spec)
    assert [sample.id for sample in result.kept] == ["ego/run/0/b", "ego/walk/0/a"]
    assert result.ignored == {"beside shards: .md": 1}


def test_splits_are_never_mixed(tmp_path: Path, folder: Path, spec: ClipSpec) -> None:
    root = tmp_path / "set"
    tar_of(root / "data" / "train-00000-of-00002.tar", folder, ("a",))
    tar_of(root / "data" / "train-00001-of-00002.tar", folder, ("b",))
    tar_of(root / "data" / "test-00000-of-00001.tar", folder, ("c",))
    with pytest.raises(DataError, match=r"holds the splits test, train; name one: .*set/data/train-\*\.tar"):
        read(root, spec)
    assert len(read(root / "data" / "train-*.tar", spec).kept) == 2


def test_a_compressed_shard_is_refused_with_the_reason(tmp_path: Path, tars: Path, spec: ClipSpec) -> None:
    (tars / "002.tar.gz").write_bytes(gzip.compress((tars / "000.tar").read_bytes()))
    result = read(tars, spec)
    assert len(result.kept) == 5
    assert [(entry.id, entry.reason) for entry in result.dropped] == [
        ("ego/002.tar.gz", "unreadable shard: it is compressed, so no clip can be read alone; write it as plain .tar")
    ]
