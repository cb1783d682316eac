"""Data as it comes: whatever is wrong with it is counted with a reason, never a crash, never silence.

Each case adds one thing to a source with two good clips, which are always kept.
"""

import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from posttrain import cli
from posttrain.config import TrialConfig
from posttrain.data import ClipSpec, Dataset, prepare
from posttrain.errors import DataError
from tests.data.conftest import steady, write_source, write_video
from tests.shard_files import write_parquet, write_tar

GOOD = {"good one": "a first caption", "good two": "a second caption"}
HTML = b"<!DOCTYPE html><html><body>404 Not Found</body></html>"
Make = Callable[["Ground"], None]


def fields(caption: str, clip: bytes) -> list[tuple[str, bytes]]:
    """A clip and its caption as WebDataset names them."""
    return [(".mp4", clip), (".txt", caption.encode())]


@dataclass(frozen=True)
class Ground:
    """Where a case builds its source, and the bytes of the good clips and of a third one."""

    root: Path
    clips: Mapping[str, bytes]

    @property
    def third(self) -> bytes:
        return self.clips["third"]

    def add(self, place: str, data: bytes | str) -> None:
        path = self.root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)

    def video(self, name: str, data: bytes, caption: str = "a third caption") -> None:
        self.add(f"videos/{name}.mp4", data)
        self.add(f"captions/{name}.json", json.dumps({"caption": caption}))

    @property
    def members(self) -> dict[str, bytes]:
        """The good clips as members of a tar."""
        return {f"{stem}{end}": data for stem in GOOD for end, data in fields(GOOD[stem], self.clips[stem])}

    @property
    def third_members(self) -> dict[str, bytes]:
        return {"third.mp4": self.third, "third.txt": b"a third caption"}


@dataclass(frozen=True)
class Case:
    """What is added, how many more clips are kept, and what is counted: by id the beginning of the reason."""

    make: Make
    kept: int = 0
    dropped: Mapping[str, str] = field(default_factory=dict)
    ignored: Mapping[str, int] = field(default_factory=dict)


def in_folder(add: Callable[[Ground], object]) -> Make:
    """The good clips in videos/ with captions/, and what `add` adds."""

    def make(ground: Ground) -> None:
        for stem, caption in GOOD.items():
            ground.video(stem, ground.clips[stem], caption)
        add(ground)

    return make


def in_classes(add: Callable[[Ground], object]) -> Make:
    """The good clips in a class folder `walk/`."""

    def make(ground: Ground) -> None:
        in_folder(lambda _: None)(Ground(ground.root / "walk", ground.clips))
        add(ground)

    return make


def beside_metadata(add: Callable[[Ground], object]) -> Make:
    """The good clips right beside metadata.csv."""

    def make(ground: Ground) -> None:
        for stem in GOOD:
            ground.add(f"{stem}.mp4", ground.clips[stem])
        ground.add("metadata.csv", "file_name,text\n" + "".join(f"{stem}.mp4,{text}\n" for stem, text in GOOD.items()))
        add(ground)

    return make


def in_shards(add: Callable[[Ground], object]) -> Make:
    """The good clips in 0.tar, and what `add` adds."""

    def make(ground: Ground) -> None:
        write_tar(ground.root / "0.tar", ground.members)
        add(ground)

    return make


def append(name: str, more: Callable[[tarfile.TarInfo], object]) -> Callable[[Ground], None]:
    """A second tar with the third clip and a member that `more` changes."""

    def add(ground: Ground) -> None:
        write_tar(ground.root / "1.tar", ground.third_members)
        with tarfile.open(ground.root / "1.tar", "a") as tar:
            info = tarfile.TarInfo(name)
            info.size = 5
            more(info)
            tar.addfile(info, io.BytesIO(b"x" * 5) if info.isreg() else None)

    return add


def raw_tar(change: Callable[[bytearray, Ground], bytes | bytearray]) -> Callable[[Ground], None]:
    """A second tar with the third clip, whose bytes are changed; `third.mp4` comes first."""

    def add(ground: Ground) -> None:
        path = write_tar(ground.root / "1.tar", {**ground.third_members, "last.mp4": ground.third, "last.txt": b"x"})
        path.write_bytes(change(bytearray(path.read_bytes()), ground))

    return add


def _huge(data: bytearray, _: Ground) -> bytearray:
    """The size of the third member, last.mp4, becomes 2**60 bytes."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        info = tar.getmember("last.mp4")
    start = info.offset
    data[start + 124 : start + 136] = b"\x80" + (1 << 60).to_bytes(11, "big")
    data[start + 148 : start + 156] = b" " * 8
    data[start + 148 : start + 156] = f"{sum(data[start : start + 512]):06o}\0 ".encode()
    return data


def _pax_bomb(_: bytearray, ground: Ground) -> bytes:
    """After the third clip a pax header that claims 2**40 bytes."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as tar:
        for name, content in ground.third_members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        end = tar.offset
    bomb = tarfile.TarInfo("pax")
    bomb.type, bomb.size = tarfile.XHDTYPE, 1 << 40
    return whole.getvalue()[:end] + bomb.tobuf(tarfile.GNU_FORMAT) + b"x" * 2048


def _start_of(data: bytearray, name: str) -> int:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return tar.getmember(name).offset


def cut(file: Path, num_bytes: int) -> None:
    file.write_bytes(file.read_bytes()[:-num_bytes])


ODD_NAMES = ("with spaces  twice", 'it\'s "quoted"', "two\nlines", "🎥 日本", "%20;$(x)", "-flag", "a:b", "x" * 200)

CASES = {
    # videos
    "corrupt video": Case(in_folder(lambda g: g.video("x", b"junk" * 900)), dropped={"x": "unreadable: Invalid data"}),
    "truncated video": Case(
        in_folder(lambda g: g.video("x", g.third[: len(g.third) // 2])), dropped={"x": "unreadable: Invalid data"}
    ),
    "html that is called mp4": Case(in_folder(lambda g: g.video("x", HTML)), dropped={"x": "unreadable: Invalid data"}),
    "0-byte video": Case(in_folder(lambda g: g.video("x", b"")), dropped={"x": "0 bytes"}),
    "a pipe": Case(
        in_folder(lambda g: os.mkfifo(g.root / "videos" / "x.mp4")), dropped={"x.mp4": "unreadable: no file"}
    ),
    "a playlist": Case(
        in_folder(lambda g: g.video("x", b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n")), dropped={"x": "unreadable: Invalid"}
    ),
    # captions
    "caption in UTF-16": Case(
        in_folder(lambda g: (g.video("x", g.third), g.add("captions/x.json", '"日本"'.encode("utf-16")))), kept=1
    ),
    "caption in UTF-16 cut in a letter": Case(
        in_folder(lambda g: (g.video("x", g.third), g.add("captions/x.json", '"日本"'.encode("utf-16")[:-1]))),
        dropped={"x": "caption is not UTF-16: byte"},
    ),
    "caption in Latin-1": Case(
        in_folder(lambda g: (g.video("x", g.third), g.add("captions/x.json", '"café"'.encode("latin-1")))),
        dropped={"x": "caption is not UTF-8: byte 4 of captions/x.json"},
    ),
    "caption that is a pipe": Case(
        in_folder(lambda g: (g.add("videos/x.mp4", g.third), os.mkfifo(g.root / "captions" / "x.json"))),
        dropped={"x": "caption is unreadable: captions/x.json: a pipe"},
    ),
    "caption that is a folder": Case(
        in_folder(lambda g: (g.add("videos/x.mp4", g.third), (g.root / "captions" / "x.json").mkdir())),
        dropped={"x": "caption is unreadable: captions/x.json: Is a directory"},
    ),
    # links, folders and names
    "a link to itself": Case(
        in_folder(lambda g: (g.root / "videos" / "x.mp4").symlink_to("x.mp4")),
        dropped={"x.mp4": "unreadable: a broken link"},
    ),
    "a folder that links to the one above": Case(
        in_folder(lambda g: (g.root / "again").symlink_to(g.root)),
        ignored={"folder with its own videos/ beside videos/": 1},
    ),
    "a class that links to another and one that links to itself": Case(
        in_classes(lambda g: ((g.root / "again").symlink_to("walk"), (g.root / "loop").symlink_to("loop"))),
        ignored={"link to a folder that is read already": 1, "broken or circular link": 1},
    ),
    "links in a tree beside metadata": Case(
        beside_metadata(lambda g: ((g.root / "up").symlink_to(g.root), (g.root / "x.mp4").symlink_to("x.mp4"))),
        dropped={"x.mp4": "unreadable: a broken link"},
        ignored={"link to a folder that is read already": 1},
    ),
    "an empty class": Case(
        in_classes(lambda g: ((g.root / "run" / "videos").mkdir(parents=True), (g.root / "jump").mkdir())),
        ignored={"empty folder: videos/": 1, "folder without videos/": 1},
    ),
    "an empty folder beside metadata": Case(
        beside_metadata(lambda g: (g.root / "run").mkdir()), ignored={"empty folder: beside metadata": 1}
    ),
    "odd names": Case(in_folder(lambda g: [g.video(name, g.third) for name in ODD_NAMES]), kept=len(ODD_NAMES)),
    "a name that is not UTF-8": Case(
        in_folder(lambda g: Path(os.fsdecode(bytes(g.root / "videos") + b"/caf\xe9.mp4")).write_bytes(g.third)),
        dropped={"caf\\xe9.mp4": "name is not UTF-8"},
    ),
    # metadata
    "metadata with a NUL and ragged lines": Case(
        beside_metadata(lambda g: g.add("metadata.csv", (g.root / "metadata.csv").read_bytes() + b"a\0,b\nx,y,z\n")),
        dropped={
            "metadata.csv:4": "unreadable metadata: metadata.csv:4: a NUL",
            "metadata.csv:5": "unreadable metadata: metadata.csv:5: 3 cells, the header has 2",
        },
    ),
    "metadata that is no text": Case(
        in_folder(lambda g: g.add("metadata.csv", b"\x93\xfa\x11" + b"\0\xff" * 50)),
        dropped={"metadata.csv": "unreadable metadata: metadata.csv:"},
    ),
    "empty metadata": Case(
        in_folder(lambda g: g.add("metadata.csv", b"")),
        dropped={"metadata.csv": "unreadable metadata: metadata.csv: it has no header"},
    ),
    # tars
    "odd names in a tar": Case(
        in_shards(
            lambda g: write_tar(g.root / "1.tar", {f"{n}{e}": d for n in ODD_NAMES for e, d in fields(n, g.third)})
        ),
        kept=len(ODD_NAMES),
    ),
    "a tar cut inside a clip": Case(
        in_shards(raw_tar(lambda data, _: data[: _start_of(data, "last.mp4") + 700])),
        kept=1,
        dropped={"1/last.mp4": "truncated shard: it ends at byte"},
    ),
    "a tar cut inside a header": Case(
        in_shards(raw_tar(lambda data, _: data[: _start_of(data, "last.mp4") + 100])),
        kept=1,
        dropped={"1/third.txt": "truncated shard: no header at byte"},
    ),
    "a tar cut between two members": Case(
        in_shards(raw_tar(lambda data, _: data[: _start_of(data, "last.mp4")])),
        kept=1,
        ignored={"shard without an end mark: it may have been cut between two members": 1},
    ),
    "a damaged header": Case(
        in_shards(raw_tar(lambda data, _: data.replace(b"last.mp4", b"LAST.mp4", 1))),
        kept=1,
        dropped={"1/third.txt": "truncated shard: no header at byte"},
    ),
    "a huge size in a header": Case(
        in_shards(raw_tar(_huge)), kept=1, dropped={"1/last.mp4": "truncated shard: it ends at byte"}
    ),
    "a huge pax header": Case(
        in_shards(raw_tar(_pax_bomb)), kept=1, dropped={"1/third.txt": "truncated shard: no header at byte"}
    ),
    "bytes after the end": Case(
        in_shards(raw_tar(lambda data, _: data + b"more" * 9000)),
        kept=2,
        ignored={"bytes after the end mark of a shard": 1},
    ),
    "a 0-byte tar": Case(
        in_shards(lambda g: g.add("1.tar", b"")), dropped={"1.tar": "unreadable shard: no tar: empty file"}
    ),
    "html that is called tar": Case(
        in_shards(lambda g: g.add("1.tar", HTML)), dropped={"1.tar": "unreadable shard: no tar:"}
    ),
    "a compressed tar that is called tar": Case(
        in_shards(lambda g: g.add("1.tar", gzip.compress(b"x" * 3000))), dropped={"1.tar": "unreadable shard: no tar:"}
    ),
    "a pipe that is called tar": Case(
        in_shards(lambda g: os.mkfifo(g.root / "1.tar")), dropped={"1.tar": "unreadable shard: a pipe"}
    ),
    "a member above the shard": Case(
        in_shards(append("../../x.mp4", lambda _: None)), kept=1, dropped={"1/../../x.mp4": "unsafe name: it leaves"}
    ),
    "a member with an absolute name": Case(
        in_shards(append("/etc/x.mp4", lambda _: None)), kept=1, dropped={"1//etc/x.mp4": "unsafe name: it leaves"}
    ),
    "a link in a tar": Case(
        in_shards(append("x.mp4", lambda info: (setattr(info, "type", tarfile.SYMTYPE), setattr(info, "size", 0)))),
        kept=1,
        ignored={"link or special file in a shard": 1},
    ),
    "a tar in a tar": Case(
        in_shards(append("inner.tar", lambda _: None)), kept=1, ignored={"member of a shard that is not read: .tar": 1}
    ),
    "a name twice in a tar": Case(
        in_shards(append("./third.mp4", lambda _: None)), kept=1, dropped={"1/third.mp4": "same name: a member"}
    ),
    "a member that is no video": Case(
        in_shards(lambda g: write_tar(g.root / "1.tar", {"x.mp4": HTML, "x.txt": b"x", "y.mp4": b"", "y.txt": b"y"})),
        dropped={"1/x": "unreadable: Invalid data", "1/y": "0 bytes"},
    ),
    "captions in a tar that cannot be read": Case(
        in_shards(
            lambda g: write_tar(
                g.root / "1.tar",
                {**dict.fromkeys(("x.mp4", "y.mp4", "z.mp4"), g.third), "x.txt": b"caf\xe9", "y.json": b"{"},
            )
        ),
        dropped={"1/x": "caption is not UTF-8: byte 3", "1/y": "caption is not JSON", "1/z": "no caption"},
    ),
    # Parquet
    "html that is called parquet": Case(
        in_shards(lambda g: g.add("1.parquet", HTML)), dropped={"1.parquet": "unreadable shard: no Parquet file"}
    ),
    "a truncated Parquet file": Case(
        in_shards(lambda g: cut(write_parquet(g.root / "1.parquet", {"video": [g.third]}), 9)),
        dropped={"1.parquet": "unreadable shard: no Parquet file"},
    ),
    "Parquet without videos": Case(
        in_shards(lambda g: write_parquet(g.root / "1.parquet", {"text": ["x"]})),
        dropped={"1.parquet": "unreadable shard: no column holds bytes of videos; the columns are text"},
    ),
    "bad cells": Case(
        in_shards(
            lambda g: write_parquet(
                g.root / "1.parquet",
                {"video": [g.third, HTML, b"", None, g.third], "text": ["x", "x", "x", "x", None]},
            )
        ),
        kept=1,
        dropped={
            "1/000001": "unreadable: Invalid data",
            "1/000002": "0 bytes",
            "1/000003": "0 bytes",
            "1/000004": "no caption: 1.parquet:4 has no caption, text or prompt",
        },
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("clips")
    names = [*GOOD, "third"]
    files = [write_video(folder / f"{number}.mp4", steady(10, 8), seed=number) for number in range(len(names))]
    return {name: file.read_bytes() for name, file in zip(names, files, strict=True)}


def prepared(root: Path, spec: ClipSpec, progress: Callable[[str, int, int], None] | None = None) -> Dataset:
    config = {
        "name": "hostile",
        "model": {"checkpoint": "tiny:predict2.5"},
        "strategy": {"type": "lora"},
        "data": {"sources": {"s": {"path": str(root)}}},
        "training": {"steps": 1, "batch_size": 1, "learning_rate": 1e-4},
    }
    return prepare(TrialConfig.model_validate(config), spec, Path("/nowhere"), progress)


@pytest.mark.parametrize("name", CASES)
def test_it_is_counted(name: str, tmp_path: Path, clips: dict[str, bytes], spec: ClipSpec) -> None:
    case = CASES[name]
    case.make(Ground(tmp_path / "s", clips))
    for _ in range(2):  # the second time from the caches
        result = prepared(tmp_path / "s", spec).scans["s"]
        assert len(result.kept) == len(GOOD) + case.kept
        assert set(GOOD) <= {sample.id.rpartition("/")[2] for sample in result.kept}
        found = {entry.id.removeprefix("s/"): entry.reason for entry in result.dropped}
        assert found.keys() == case.dropped.keys()
        for entry, reason in case.dropped.items():
            assert found[entry].startswith(reason), found[entry]
        assert result.ignored == case.ignored


def test_all_of_it_through_the_command_line(
    tmp_path: Path, clips: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    """Every case is a source of one sweep; every reason and count is shown."""
    sources = {}
    for number, (name, case) in enumerate(CASES.items()):
        case.make(Ground(tmp_path / "sources" / str(number), clips))
        sources[f"s{number}"] = {"path": f"sources/{number}"}
        assert name
    sweep = {
        "name": "hostile",
        "model": {"checkpoint": "tiny:predict2.5", "frames": 9, "height": 32, "width": 32, "fps": 8.0},
        "strategy": {"type": "lora"},
        "data": {"sources": sources},
        "training": {"steps": 8, "batch_size": 4, "learning_rate": 1e-4},
        "search_space": {"training.learning_rate": {"loguniform": [1e-5, 1e-3]}},
    }
    (tmp_path / "sweep.yaml").write_text(json.dumps(sweep))
    assert cli.run(["check", str(tmp_path / "sweep.yaml"), "--json"]) == 0
    warnings = json.loads(capsys.readouterr().out)["warnings"]
    for number, (name, case) in enumerate(CASES.items()):
        told = [warning["message"] for warning in warnings if warning["where"] == f"data.sources.s{number}"]
        for reason in case.dropped.values():
            assert any(reason.partition(":")[0] in message for message in told), (name, reason, told)
        for kind, count in case.ignored.items():
            assert f"{count} x {kind}, ignored" in told, (name, kind, told)


def test_files_that_vanish_between_listing_and_reading(tmp_path: Path, clips: dict[str, bytes], spec: ClipSpec) -> None:
    ground = Ground(tmp_path / "s", clips)
    in_folder(lambda g: (g.video("x", g.third), g.video("y", g.third)))(ground)

    def vanish(*_: object) -> None:
        (ground.root / "videos" / "x.mp4").unlink(missing_ok=True)
        (ground.root / "captions" / "y.json").unlink(missing_ok=True)

    result = prepared(ground.root, spec, vanish).scans["s"]
    assert {entry.id: entry.reason for entry in result.dropped} == {
        "s/x": "unreadable: No such file or directory",
        "s/y": "caption is unreadable: captions/y.json: No such file or directory",
    }


def test_a_shard_that_vanishes_between_listing_and_reading(
    tmp_path: Path, clips: dict[str, bytes], spec: ClipSpec
) -> None:
    ground = Ground(tmp_path / "s", clips)
    in_shards(lambda g: write_tar(g.root / "1.tar", g.third_members))(ground)
    result = prepared(ground.root, spec, lambda *_: (ground.root / "1.tar").unlink(missing_ok=True)).scans["s"]
    assert [(entry.id, entry.reason) for entry in result.dropped] == [
        ("s/1/third", "unreadable: No such file or directory")
    ]


def test_a_shard_that_changes_between_listing_and_reading(
    tmp_path: Path, clips: dict[str, bytes], spec: ClipSpec
) -> None:
    """Its new index is read; a clip that is in it no longer is told."""
    ground = Ground(tmp_path / "s", clips)
    in_shards(lambda g: write_tar(g.root / "1.tar", g.third_members))(ground)
    changed = write_tar(tmp_path / "changed.tar", {"other.mp4": clips["third"]})

    def change(*_: object) -> None:
        if changed.is_file():  # at the first call; whole at once, as it is read by several threads
            changed.replace(ground.root / "1.tar")

    result = prepared(ground.root, spec, change).scans["s"]
    assert [(entry.id, entry.reason) for entry in result.dropped] == [("s/1/third", "unreadable: No such member")]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read(tmp_path: Path, clips: dict[str, bytes], spec: ClipSpec) -> None:
    ground = Ground(tmp_path / "s", clips)
    in_classes(lambda g: Ground(g.root / "run", clips).video("x", g.third))(ground)
    (ground.root / "walk" / "captions" / "good one.json").chmod(0)
    write_source(ground.root / "more", {"a": "one", "b": "two"})
    (ground.root / "shut").mkdir(mode=0)
    (ground.root / "run" / "videos").chmod(0)
    try:
        result = prepared(ground.root, spec).scans["s"]
    finally:
        (ground.root / "run" / "videos").chmod(0o755)
    found = {entry.id: entry.reason for entry in result.dropped}
    assert found == {
        "s/walk/good one": "caption is unreadable: captions/good one.json: Permission denied",
        "s/run": "unreadable: Permission denied",
        "s/shut": "unreadable: Permission denied",
    }


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda g: g.root.symlink_to(g.root), "is not there"),
        (lambda g: g.add("0.tar", b""), "none of the 1 clips .* unreadable shard: no tar"),
        (lambda g: g.root.mkdir(), "no video"),
        (lambda g: (g.root / "walk" / "videos").mkdir(parents=True), "no video"),
        (lambda g: g.add("metadata.csv", b"file_name,text\n"), "no video"),
    ],
)
def test_a_source_with_nothing_to_use_is_one_message(
    make: Make, message: str, tmp_path: Path, clips: dict[str, bytes], spec: ClipSpec
) -> None:
    make(Ground(tmp_path / "s", clips))
    with pytest.raises(DataError, match=rf"data\.sources\.s\.path: .*{message}"):
        prepared(tmp_path / "s", spec)
