"""Scanning a source: everything in the folder is kept, dropped with a reason, or counted."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from posttrain.config import SourceConfig
from posttrain.data import ClipSpec, SourceScan, scan
from posttrain.data.demo import shapes
from posttrain.errors import DataError, EnvironmentFault

MakeVideo = Callable[..., Path]
MakeSource = Callable[..., Path]


def read(root: Path, spec: ClipSpec, *, windows: int = 1, **more: float | str) -> SourceScan:
    return scan("ego", SourceConfig(path=str(root), windows=windows, **more), spec, Path("/nowhere"))


def reasons(result: SourceScan) -> dict[str, str]:
    return {entry.id: entry.reason for entry in result.dropped}


def test_a_clean_source(tmp_path: Path, make_source: MakeSource, spec: ClipSpec) -> None:
    make_source(tmp_path / "ego", {"a": "one", 'it\'s "b" 日本 %20': "two"})
    calls: list[tuple[str, int, int]] = []
    source = SourceConfig(path="ego", quality=0.5, camera="fixed")
    result = scan("ego", source, spec, tmp_path, lambda *call: calls.append(call))
    assert [sample.id for sample in result.kept] == ["ego/a", 'ego/it\'s "b" 日本 %20']
    assert [sample.caption for sample in result.kept] == ["one", "two"]
    assert result.kept[0].metadata == {"quality": 0.5, "camera": "fixed"}
    assert len({sample.content_hash for sample in result.kept}) == 2
    assert result.dropped == []
    assert result.ignored == result.notes == {}
    assert calls[-1] == ("ego", 2, 2)


def test_everything_that_can_be_wrong_is_told(
    tmp_path: Path, make_source: MakeSource, make_video: MakeVideo, spec: ClipSpec
) -> None:
    root = make_source(
        tmp_path / "ego", {"good": "a caption", "no-caption": None, "blank": " \n ", "corrupt": "c", "empty-file": "c"}
    )
    videos, captions = root / "videos", root / "captions"
    make_video(videos / "short.mp4", [0.0, 0.125, 0.25], seed=9)
    (captions / "short.json").write_text('"short"')
    whole = (videos / "good.mp4").read_bytes()
    (videos / "corrupt.mp4").write_bytes(b"junk" * 500)
    (videos / "truncated.mp4").write_bytes(whole[: len(whole) // 2])
    (captions / "truncated.json").write_text('"truncated"')
    (videos / "empty-file.mp4").write_bytes(b"")
    bad_captions = {
        "bad-json": b"{caption: no quotes",
        "latin1": '{"caption": "caf\xe9"}'.encode("latin-1"),
        "no-key": b'{"text": "a"}',
        "a-list": b'["a"]',
        "a-number": b'{"caption": 3}',
        "nan": b'{"caption": "a", "score": NaN}',
        "half-letter": b'{"caption": "\\ud800"}',
        "deep": b"[" * 100_000,
    }
    for number, (stem, content) in enumerate(bad_captions.items()):
        make_video(videos / f"{stem}.mp4", [k / 8 for k in range(10)], seed=100 + number)
        (captions / f"{stem}.json").write_bytes(content)
    (videos / "notes.txt").write_text("x")
    (videos / "sub").mkdir()
    (videos / "good.mov").write_bytes(whole)
    (videos / ".DS_Store").write_bytes(b"x")
    (videos / "broken.mp4").symlink_to("nothing.mp4")
    (videos / "loop.mp4").symlink_to("loop.mp4")
    (videos / "folder.mp4").mkdir()
    (captions / "orphan.json").write_text('"nobody"')
    (root / "metas").mkdir()
    (root / "metas" / "good.txt").write_text("another")
    (root / "loose.mp4").write_bytes(whole)

    result = read(root, spec)

    assert [sample.id for sample in result.kept] == ["ego/good"]
    expected = {
        "ego/no-caption": "no caption",
        "ego/blank": "empty caption",
        "ego/corrupt": "unreadable: Invalid data",
        "ego/truncated": "unreadable: Invalid data",
        "ego/empty-file": "0 bytes",
        "ego/short": "too short: 0.38 s of 1.12 s",
        "ego/bad-json": "caption is not JSON: captions/bad-json.json: Expecting",
        "ego/latin1": "caption is not UTF-8: byte 16",
        "ego/no-key": "no caption: captions/no-key.json has neither",
        "ego/a-list": "caption is not text: captions/a-list.json holds a list",
        "ego/a-number": 'caption is not text: "caption" of captions/a-number.json is a number',
        "ego/nan": "caption is not JSON: captions/nan.json: NaN",
        "ego/half-letter": "caption is not text",
        "ego/deep": "caption is not JSON",
        "ego/notes.txt": "not a video: .txt",
        "ego/sub": "not a video: a folder",
        "ego/good.mp4": "same name: good.mov is read already",
        "ego/broken.mp4": "unreadable: a broken link",
        "ego/loop.mp4": "unreadable: a broken link",
        "ego/folder.mp4": "unreadable: a folder",
    }
    found = reasons(result)
    assert found.keys() == expected.keys()
    for sample_id, reason in expected.items():
        assert found[sample_id].startswith(reason), (sample_id, found[sample_id])
    assert result.found == len(expected) + 1
    assert result.ignored == {
        "hidden file in videos/": 1,
        "caption without a video": 1,
        "second caption of a video": 1,
        "video outside videos/": 1,
    }


def test_captions_as_text_and_their_own_metadata(tmp_path: Path, make_video: MakeVideo, spec: ClipSpec) -> None:
    root = tmp_path / "ego"
    for number, stem in enumerate("abcd"):
        make_video(root / "videos" / f"{stem}.mp4", [k / 8 for k in range(10)], seed=number)
    (root / "metas").mkdir()
    (root / "captions").mkdir()
    (root / "metas" / "a.txt").write_text("\ufeff  from a text\n", encoding="utf-8")
    (root / "captions" / "b.json").write_text('{"prompt": "from a prompt", "quality": 0.9}')
    (root / "captions" / "c.json").write_text('"a plain string"')
    (root / "captions" / "d.txt").write_text("text among captions")
    result = read(root, spec, quality=0.4, camera="ego")
    assert [sample.caption for sample in result.kept] == [
        "from a text",
        "from a prompt",
        "a plain string",
        "text among captions",
    ]
    assert result.kept[1].metadata == {"quality": 0.9, "camera": "ego"}


def test_sub_folders_are_read_when_there_is_no_videos_folder(
    tmp_path: Path, make_source: MakeSource, spec: ClipSpec
) -> None:
    root = tmp_path / "ego"
    make_source(root / "day one", {"a": "one"})
    make_source(root / "day two", {"a": "two"})
    (root / "raw").mkdir()
    (root / "again").symlink_to(root)  # a loop
    result = read(root, spec)
    assert [sample.id for sample in result.kept] == ["ego/day one/a", "ego/day two/a"]
    assert result.ignored == {"folder without videos/": 2}


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda root: None, r"data\.sources\.ego\.path: .*ego is not there; give a folder"),
        (lambda root: root.write_text("x"), "is a file, not a folder"),
        (lambda root: root.mkdir(), "no video .* add clips there"),
        (lambda root: (root / "videos").mkdir(parents=True), "no video .* add clips there"),
        (lambda root: root.symlink_to(root), "is not there"),
    ],
)
def test_a_source_that_is_not_there_or_empty(
    tmp_path: Path, spec: ClipSpec, build: Callable[[Path], object], message: str
) -> None:
    build(tmp_path / "ego")
    with pytest.raises(DataError, match=message):
        read(tmp_path / "ego", spec)


def test_videos_in_the_wrong_place_are_told(tmp_path: Path, make_video: MakeVideo, spec: ClipSpec) -> None:
    make_video(tmp_path / "ego" / "a.mp4", [0.0, 0.125])
    with pytest.raises(DataError, match=r"holds 1 videos itself: move them to .*videos"):
        read(tmp_path / "ego", spec)


def test_a_source_with_nothing_left_names_the_reasons_and_a_remedy(
    tmp_path: Path, make_source: MakeSource, spec: ClipSpec
) -> None:
    root = make_source(tmp_path / "ego", {"a": None, "b": None, "c": "c"}, num_frames=9)
    (root / "videos" / "c.mp4").write_bytes(b"")
    with pytest.raises(DataError, match=r"none of the 3 clips .* 2 no caption \(a\.mp4.*1 0 bytes .*captions/<stem>"):
        read(root, spec)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_listed(tmp_path: Path, make_source: MakeSource, spec: ClipSpec) -> None:
    root = make_source(tmp_path / "ego", {"a": "one"})
    (root / "videos").chmod(0)
    with pytest.raises(DataError, match="cannot be listed: Permission denied"):
        read(root, spec)


def test_windows_lie_side_by_side_and_add_up(tmp_path: Path, make_source: MakeSource, spec: ClipSpec) -> None:
    root = make_source(tmp_path / "ego", {"long": "a"}, num_frames=40)
    make_source(root, {"short": "b"}, num_frames=10)
    result = read(root, spec, windows=3)
    assert [(sample.id, sample.start_s) for sample in result.kept] == [
        ("ego/long", 0.0),
        ("ego/long@1", 15 / 8),
        ("ego/long@2", 31 / 8),
        ("ego/short", 0.0),
    ]
    assert {sample.video_id for sample in result.kept} == {"ego/long", "ego/short"}
    assert result.notes == {"fewer windows than asked for: the clip is too short": 1}


def test_small_and_slow_clips_are_kept_and_counted(tmp_path: Path, make_source: MakeSource) -> None:
    root = make_source(tmp_path / "ego", {"a": "a", "dropped": None})
    result = read(root, ClipSpec(9, 128, 128, 16.0))
    assert len(result.kept) == 1
    assert result.notes == {
        "enlarged: smaller than the model's picture": 1,
        "frames repeated: slower than the model's frame rate": 1,
    }


def test_a_second_scan_reads_only_what_changed(
    tmp_path: Path, make_source: MakeSource, make_video: MakeVideo, spec: ClipSpec, cache: Path
) -> None:
    root = make_source(tmp_path / "ego", {"a": "a", "b": "b"})
    first = read(root, spec)
    todo: list[int] = []

    def scan_again() -> SourceScan:
        calls: list[int] = []
        result = scan("ego", SourceConfig(path=str(root)), spec, tmp_path, lambda _, done, total: calls.append(done))
        todo.append(calls[-1] - calls[0])
        return result

    assert scan_again().kept == first.kept
    make_video(root / "videos" / "b.mp4", [k / 8 for k in range(12)], seed=50)
    changed = scan_again()
    assert changed.kept[0] == first.kept[0]
    assert changed.kept[1].content_hash != first.kept[1].content_hash
    for file in (cache / "scans").iterdir():
        file.write_text("torn{")
    assert scan_again().kept == changed.kept
    assert todo == [0, 1, 2]


def test_a_cache_that_cannot_be_written_is_a_fault_of_the_environment(
    tmp_path: Path, make_source: MakeSource, spec: ClipSpec, cache: Path
) -> None:
    root = make_source(tmp_path / "ego", {"a": "a"})
    cache.mkdir()
    (cache / "scans").write_text("in the way")
    with pytest.raises(EnvironmentFault, match="POSTTRAIN_CACHE"):
        read(root, spec)


@pytest.mark.slow
@pytest.mark.usefixtures("demos")
def test_a_demo_source(spec: ClipSpec) -> None:
    whole = scan("toy", SourceConfig(path="demo:shapes"), spec, Path())
    part = scan("toy", SourceConfig(path="demo:shapes/zooming-low"), spec, Path())
    assert len(whole.kept) == 6 * len(part.kept)
    assert whole.kept[0].id == "toy/fixed-high/000"
    assert len(part.kept) == shapes.CLIPS_PER_FOLDER
    assert part.kept[0].metadata == {"camera": "zooming", "quality": 0.4}
    assert whole.dropped == []
    with pytest.raises(DataError, match=r"data\.sources\.toy\.path: .*did you mean demo:shapes\?"):
        scan("toy", SourceConfig(path="demo:shape"), spec, Path())


def test_metadata_is_plain_json(tmp_path: Path, make_source: MakeSource, spec: ClipSpec) -> None:
    root = make_source(tmp_path / "ego", {"a": "a"})
    (root / "captions" / "a.json").write_text('{"caption": "x", "tags": ["p", 1], "deep": {"k": null}}')
    metadata = read(root, spec).kept[0].metadata
    assert json.loads(json.dumps(metadata, allow_nan=False)) == {"tags": ["p", 1], "deep": {"k": None}}
