"""Rows of questions and answers: every record is kept or dropped with a reason, from every kind of file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from PIL import Image

from posttrain.config import SourceConfig, SuiteConfig, TrialConfig
from posttrain.data import (
    Dataset,
    Row,
    RowSpec,
    SourceScan,
    open_picture,
    prepare,
    read_splits,
    sample_video,
    scan,
    write_manifest,
)
from posttrain.data.answer_text import answers_in
from posttrain.data.choices import chosen
from posttrain.data.manifest import changes
from posttrain.errors import DataError, EnvironmentFault
from posttrain.paths import RunPaths
from tests.shard_files import write_tar

MakeVideo = Callable[..., Path]
SPEC = RowSpec(max_frames=4, fps=2.0)


def picture(path: Path, seed: int = 0, size: tuple[int, int] = (20, 16)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def talk(*texts: str, **more: Any) -> dict[str, Any]:
    """A conversation in which human and gpt take turns."""
    return {
        "conversations": [
            {"from": "gpt" if number % 2 else "human", "value": text} for number, text in enumerate(texts)
        ],
        **more,
    }


def read(path: Path, **more: Any) -> SourceScan[Row]:
    return scan("qa", SourceConfig(path=str(path), **more), SPEC, Path("/nowhere"))


def write(path: Path, rows: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(rows) if path.suffix == ".json" else "\n".join(json.dumps(row) for row in rows)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_conversation_with_images_and_one_with_a_video(tmp_path: Path, make_video: MakeVideo) -> None:
    for number in range(2):
        picture(tmp_path / "qa" / "images" / f"{number}.png", number)
    make_video(tmp_path / "qa" / "clips" / "a.mp4", [k / 8 for k in range(16)], seed=3)
    path = write(
        tmp_path / "qa" / "rows.json",
        [
            talk("<image>\nand <image> differ?", " Yes. ", id="both", images=["images/0.png", "images/1.png"], level=3),
            {
                "id": 7,
                "video": "clips/a.mp4",
                "conversations": [
                    {"from": "system", "value": "Be short."},
                    {"from": "human", "value": "<video>\nWhat moves?"},
                    {"from": "gpt", "value": "Noise."},
                ],
            },
            talk("No picture here. Fine?", "Fine."),
        ],
    )
    found = read(path, quality=0.5)
    assert not found.dropped
    assert not found.notes
    both, moves, plain = found.kept
    assert both.id == "qa/both"
    assert both.turns == (("user", "<image>\nand <image> differ?"),)
    assert both.answer == both.target == "Yes."
    assert [path.name for path in both.images] == ["0.png", "1.png"]
    assert both.metadata == {"quality": 0.5, "level": 3}
    assert len(set(both.media_hashes)) == 2
    assert moves.id == "qa/7"
    assert moves.turns[0] == ("system", "Be short.")
    assert moves.video is not None
    assert plain.id == "qa/row-2"
    assert plain.content_hash != both.content_hash
    # a folder that holds one such file is the same source
    assert [row.id for row in read(tmp_path / "qa").kept] == [row.id for row in found.kept]


def test_everything_that_can_be_wrong_is_told(tmp_path: Path) -> None:
    root = tmp_path / "qa"
    picture(root / "good.png")
    (root / "junk.png").write_bytes(b"junk" * 99)
    whole = picture(root / "whole.png", 1, (200, 200)).read_bytes()
    (root / "cut.png").write_bytes(whole[: len(whole) // 2])
    (root / "bad.mp4").write_bytes(b"junk" * 99)
    rows = {
        "missing": (talk("<image>\nq", "a", image="no.png"), "no image file: no.png"),
        "junk": (talk("<image>\nq", "a", image="junk.png"), "unreadable image: junk.png"),
        "cut": (talk("<image>\nq", "a", image="cut.png"), "unreadable image: cut.png"),
        "no-video": (talk("<video>\nq", "a", video="no.mp4"), "no video file: no.mp4"),
        "bad-video": (talk("<video>\nq", "a", video="bad.mp4"), "unusable video: unreadable"),
        "number": (talk("<image>\nq", "a", image=3), "image is no path: int"),
        "address": (talk("<image>\nq", "a", image="https://x/y.png"), "image is an address"),
        "nul": (talk("<image>\nq", "a", image="a\0b"), "no image file"),
        "two": (talk("<image><image>\nq", "a", image="good.png"), "placeholders do not match: 2 <image> for 1 images"),
        "none": (talk("<image>\nq", "a"), "placeholders do not match: 1 <image> for 0 images"),
        "empty": (talk("<image>\nq", "  ", image="good.png"), "empty answer"),
        "no-answer": (talk("<image>\nq", image="good.png"), "no answer"),
        "no-question": (talk("<image>\n", "a", image="good.png"), "no question"),
        "nothing": ({"image": "good.png"}, "no question: neither conversations nor question"),
        "role": ({"conversations": [{"from": "bot", "value": "q"}]}, "unknown role: bot"),
        "no-text": (talk("q", 3), "turn is not text: int"),
        "half": (talk("q", "\ud800"), "turn is not text: half a Unicode letter"),
        "no-turns": ({"conversations": []}, "no question: conversations"),
        "rl-answer": ({"question": "q", "choices": ["x", "y"], "answer": "z"}, "answer is none of the choices: z"),
        "rl-choices": ({"question": "q", "choices": ["x"], "answer": "x"}, "choices do not fit"),
        "rl-blank": ({"question": "q", "answer": ""}, "empty answer"),
        "rl-none": ({"question": "q"}, "no answer"),
    }
    lines = [json.dumps({"id": name, **row}) for name, (row, _) in rows.items()]
    lines += [json.dumps(talk("<image>\nq", "a", id="good", image="good.png")), "{", '"text"', '{"a": NaN}']
    data = "\n".join(lines).encode() + b'\n{"id": "caf\xe9"}\n'
    (root / "rows.jsonl").write_bytes(data)
    found = read(root)
    assert [row.id for row in found.kept] == ["qa/good"]
    assert found.found == len(lines) + 1
    reasons = [entry.reason for entry in found.dropped]
    for _, reason in rows.values():
        assert any(told.startswith(reason) for told in reasons), (reason, reasons)
    by_id = {entry.id: entry.reason for entry in found.dropped}
    assert by_id[f"qa/line-{len(rows) + 2}"].startswith("no JSON:")
    assert by_id[f"qa/line-{len(rows) + 3}"] == "no object: it is a str"
    assert by_id[f"qa/line-{len(rows) + 4}"].startswith("no JSON: NaN")
    assert by_id[f"qa/line-{len(rows) + 5}"].startswith("not UTF-8: byte")


def test_what_is_unusual_is_counted(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    rows = [
        talk("<image>\none?", "1", "two?", "2", id="x", image="a.png"),
        talk("what?", "that", "and?", id="x", image="a.png"),
    ]
    found = read(write(tmp_path / "rows.json", rows))
    first, second = found.kept
    assert first.turns == (("user", "<image>\none?"), ("assistant", "1"), ("user", "two?"))
    assert first.answer == "2"
    assert second.id == "qa/x#row-1"
    assert second.turns == (("user", "<image>\nwhat?"),)
    assert found.notes == {
        "several answers: the last one is trained on, the others are its context": 1,
        "a question after the last answer left out": 1,
        "no <image> in the text: its media go before the first question": 1,
        "id used before: told apart by the row's number": 1,
    }


def test_a_row_with_choices_asks_for_tags(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    rows = [
        {"id": "x", "question": "Which?", "choices": ["one", "two"], "answer": "B", "image": "a.png", "level": 1},
        {"id": "y", "question": "Say <answer>it</answer>.", "answer": 4},
        {"id": "z", "question": "Which?", "choices": {"A": "one", "B": "two"}, "answer": "two"},
    ]
    x, y, z = read(write(tmp_path / "rows.jsonl", rows)).kept
    assert x.turns[-1] == ("user", "<image>\nWhich?\nA. one\nB. two")
    assert x.turns[0][0] == "system"
    assert "<answer>" in x.turns[0][1]
    assert x.asks_for_tags
    assert (x.answer, x.choices, x.metadata) == ("B", ("one", "two"), {"level": 1})
    assert x.target == "<think></think><answer>B</answer>"
    assert y.turns == (("user", "Say <answer>it</answer>."),)
    assert y.asks_for_tags
    assert z.choices == ("one", "two")


def test_datasets_folders_with_embedded_pictures(tmp_path: Path, cache: Path) -> None:
    files = [picture(tmp_path / f"{number}.png", number) for number in range(3)]
    rows = [talk("<image>\nq?", str(number), id=f"r{number}") for number in range(3)]
    columns = {
        "id": [row["id"] for row in rows],
        "conversations": [row["conversations"] for row in rows],
        "image": [str(file) for file in files],
        "level": [1, 2, 3],
    }
    table = datasets.Dataset.from_dict(columns).cast_column("image", datasets.Image())
    table = table.map(lambda row: row, features=table.features)
    embedded = table.with_format("arrow").map(datasets.table.embed_table_storage, batched=True).with_format(None)
    embedded.save_to_disk(str(tmp_path / "saved"))
    datasets.DatasetDict({"train": embedded}).save_to_disk(str(tmp_path / "splits"))
    (tmp_path / "parquet").mkdir()
    embedded.to_parquet(str(tmp_path / "parquet" / "part-0.parquet"))
    for file in files:
        file.unlink()
    for kind in ("saved", "splits", "parquet"):
        found = read(tmp_path / kind)
        assert not found.dropped, kind
        assert [row.answer for row in found.kept] == ["0", "1", "2"]
        assert [row.metadata for row in found.kept] == [{"level": 1}, {"level": 2}, {"level": 3}]
        for number, row in enumerate(found.kept):
            assert row.images[0].is_relative_to(cache)
            assert row.images[0].name == f"{row.content_hash}.png"
            expected = np.random.default_rng(number).integers(0, 255, (16, 20, 3), np.uint8)
            assert np.array_equal(np.asarray(open_picture(row.images[0])), expected)
    assert len(list((cache / "media").rglob("*.png"))) == 3  # one file for each content, whoever held it
    datasets.DatasetDict({"train": embedded, "test": embedded}).save_to_disk(str(tmp_path / "two"))
    with pytest.raises(DataError, match="holds the splits train, test; name one"):
        read(tmp_path / "two")
    assert len(read(tmp_path / "two" / "test").kept) == 3


def test_a_source_that_cannot_be_meant_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"data.sources.qa.path: .* is not there"):
        read(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("x")
    with pytest.raises(DataError, match="it holds notes"):
        read(tmp_path / "empty")
    for name in ("a.json", "b.jsonl"):
        write(tmp_path / "both" / name, [talk("q", "a")])
    with pytest.raises(DataError, match=r"more than one set of rows: a.json, b.jsonl"):
        read(tmp_path / "both")
    assert len(read(tmp_path / "both" / "a.json").kept) == 1
    write(tmp_path / "dropped" / "rows.jsonl", [talk("<image>\nq", "a", image="no.png")] * 3)
    with pytest.raises(DataError, match=r"none of the 3 rows .* 3 no image file .* paths of media start at the folder"):
        read(tmp_path / "dropped")
    (tmp_path / "broken.json").write_text("[1, 2")
    with pytest.raises(DataError, match=r"broken.json: no JSON"):
        read(tmp_path / "broken.json")
    (tmp_path / "broken.parquet").write_bytes(b"junk" * 9)
    with pytest.raises(DataError, match="no whole Parquet file"):
        read(tmp_path / "broken.parquet")
    with pytest.raises(DataError, match=r"data.sources.qa.windows: questions have no windows"):
        read(tmp_path / "both" / "a.json", windows=2)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises((EnvironmentFault, DataError), match=r"data.sources.qa.path: .*nobody/nothing"):
        scan("qa", SourceConfig(path="nobody/nothing"), SPEC, tmp_path)


def test_folders_below_are_read_and_named(tmp_path: Path) -> None:
    for name in ("near", "far"):
        write(tmp_path / "qa" / name / "rows.json", [talk("q", name, id="r")])
    assert [(row.id, row.answer) for row in read(tmp_path / "qa").kept] == [("qa/far/r", "far"), ("qa/near/r", "near")]


def test_pictures_are_upright_and_opaque(tmp_path: Path) -> None:
    sideways = Image.new("RGB", (4, 8), "red")
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    sideways.save(tmp_path / "a.jpg", exif=exif)
    assert open_picture(tmp_path / "a.jpg").size == (8, 4)
    Image.new("RGBA", (2, 2), (0, 0, 0, 0)).save(tmp_path / "b.png")
    assert open_picture(tmp_path / "b.png").getpixel((0, 0)) == (255, 255, 255)
    assert open_picture(tmp_path / "b.png").mode == "RGB"


def test_a_video_is_sampled_at_its_rate_or_spread(tmp_path: Path, make_video: MakeVideo) -> None:
    path = make_video(tmp_path / "a.mp4", [k / 8 for k in range(32)])
    frames_THWC, fps = sample_video(path, RowSpec(max_frames=16, fps=2.0))
    assert frames_THWC.shape == (8, 48, 64, 3)
    assert fps == 2.0
    assert [round(float(frame.mean()) / 4) for frame in frames_THWC] == [0, 4, 8, 12, 16, 20, 24, 28]
    frames_THWC, fps = sample_video(path, RowSpec(max_frames=4, fps=2.0))
    assert [round(float(frame.mean()) / 4) for frame in frames_THWC] == [0, 8, 16, 24]
    assert fps == 1.0
    short = make_video(tmp_path / "short.mp4", [0.0, 0.125])
    assert len(sample_video(short, SPEC)[0]) == 1


def _config(tmp_path: Path, suites: dict[str, Any] | None) -> TrialConfig:
    document = {
        "name": "trial",
        "model": {"checkpoint": "tiny:predict2.5"},
        "strategy": {"type": "lora"},
        "data": {"sources": {"qa": {"path": "qa"}}},
        "training": {"steps": 4, "batch_size": 2, "learning_rate": 1e-3},
        "evaluation": {"suites": suites},
    }
    return TrialConfig.model_validate(document)


def _prepared(tmp_path: Path) -> Dataset[Row]:
    """Forty questions about ten pictures; the last two share a picture with each other over a row with both."""
    rows: list[Any] = []
    for number in range(10):
        picture(tmp_path / "qa" / f"{number}.png", number)
        rows += [talk("<image>\nq?", str(k), id=f"{number}-{k}", image=f"{number}.png") for k in range(4)]
    rows.append(talk("<image><image>\nq?", "x", id="both", images=["8.png", "9.png"]))
    write(tmp_path / "qa" / "rows.json", rows)
    write(
        tmp_path / "more" / "rows.json",
        [{"question": "q?", "choices": ["x", "y"], "answer": "x", "image": "../qa/0.png", "id": f"m{k}"} for k in "ab"],
    )
    suites = {"quality": SuiteConfig(source="qa", samples=3), "more": SuiteConfig(source="more")}
    config = _config(tmp_path, {name: suite.model_dump() for name, suite in suites.items()})
    return prepare(config, SPEC, tmp_path)


def test_all_questions_about_a_picture_stay_on_one_side(tmp_path: Path) -> None:
    dataset = _prepared(tmp_path)
    train = {file for row in dataset.train["qa"] for file in row.media_hashes}
    held_out = {file for row in dataset.held_out["qa"] for file in row.media_hashes}
    assert train
    assert held_out
    assert not train & held_out
    assert len(dataset.train["qa"]) + len(dataset.held_out["qa"]) == 41
    # a suite asks about every picture once before it asks about one twice
    drawn = dataset.suites["quality"]
    assert len({row.content_hash for row in drawn}) == min(3, len({row.content_hash for row in dataset.held_out["qa"]}))
    assert any("shows what" in text for text in dataset.warnings) == ("0.png" in str(dataset.train["qa"]))


def test_the_manifest_gives_rows_back(tmp_path: Path) -> None:
    dataset = _prepared(tmp_path)
    run = RunPaths(tmp_path / "run")
    write_manifest(dataset, run)
    read_back = read_splits(run)
    assert read_back.train == dataset.train
    assert read_back.suites == dataset.suites
    assert changes(dataset, run) == []
    rows = json.loads((tmp_path / "qa" / "rows.json").read_text())
    rows[0]["conversations"][1]["value"] = "other"
    write(tmp_path / "qa" / "rows.json", rows)
    again = prepare(
        _config(
            tmp_path,
            {
                "quality": SuiteConfig(source="qa", samples=3).model_dump(),
                "more": SuiteConfig(source="more").model_dump(),
            },
        ),
        SPEC,
        tmp_path,
    )
    assert changes(again, run) == ["qa/0-0 has another answer"]


def test_rows_in_tars_are_read_in_place(tmp_path: Path, make_video: MakeVideo, cache: Path) -> None:
    images = [picture(tmp_path / f"{number}.png", number).read_bytes() for number in range(3)]
    video = make_video(tmp_path / "a.mp4", [k / 8 for k in range(16)], seed=3).read_bytes()
    rows = {
        "a": (talk("<image>\nWhat?", "This.", id="one", image="coco/elsewhere.png"), {".png": images[0]}),
        "sub/b": (talk("<image><image>\nSame?", "No."), {".0.png": images[1], ".1.png": images[2]}),
        "c": (talk("<video>\nWhat?", "Noise."), {".mp4": video}),
        "d": (talk("<image>\nNamed?", "Yes.", image="a.png"), {}),
        "bad": (talk("<image>\nWhat?", "This."), {".png": b"junk"}),
        "none": (talk("<image>\nWhat?", "This.", image="no.png"), {}),
    }
    members = {f"{key}.json": json.dumps(record).encode() for key, (record, _) in rows.items()}
    members |= {f"{key}{ending}": data for key, (_, media) in rows.items() for ending, data in media.items()}
    shard = write_tar(tmp_path / "qa" / "0.tar", {**members, "alone.png": images[0], "broken.json": b"{"})
    found = read(tmp_path / "qa")
    assert [(row.id, [str(path.relative_to(shard)) for path in row.images]) for row in found.kept] == [
        ("qa/one", ["a.png"]),
        ("qa/0-c", []),
        ("qa/0-d", ["a.png"]),
        ("qa/0-sub/b", ["sub/b.0.png", "sub/b.1.png"]),
    ]
    assert found.kept[1].video == shard / "c.mp4"
    assert open_picture(found.kept[0].images[0]).size == (20, 16)
    assert {entry.id: entry.reason for entry in found.dropped} == {
        "qa/0-alone": "no record: alone.json is not in 0.tar",
        "qa/0-bad": "unreadable image: bad.png",
        "qa/0-broken": "no JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
        "qa/0-none": "no image file: no.png",
    }
    assert not (cache / "media").exists(), "nothing is unpacked"


def test_jsonl_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(
        "\n".join(json.dumps(talk(f"q{number}?", "a 日本"), ensure_ascii=False) for number in range(2)).encode("utf-16")
    )
    assert [row.answer for row in read(path).kept] == ["a 日本"] * 2


@pytest.mark.parametrize(
    "choices",
    [
        ["A. red", "B. green", "C. blue"],
        ["(A) red", "(B) green", "(C) blue"],
        ["a) red", "b) green", "c) blue"],
        ["A: red", "B: green", "C: blue"],
        {"A": "red", "B": "green", "C": "blue"},
        {"C": "blue", "A": "red", "B": "green"},
        {"label": ["A", "B", "C"], "text": ["red", "green", "blue"]},
    ],
)
def test_choices_that_carry_their_letters_are_listed_once(tmp_path: Path, choices: object) -> None:
    golds = ["B", "B.", "(B)", "b", "B. green", "(b) Green", "Green", "<answer>B</answer>", r"\boxed{B}"]
    rows = [{"question": f"Which? {gold}", "choices": choices, "answer": gold} for gold in golds]
    found = read(write(tmp_path / "rows.json", rows))
    assert not found.dropped
    for row in found.kept:
        assert row.turns[-1][1].endswith("\nA. red\nB. green\nC. blue")
        assert row.choices == ("red", "green", "blue")
        assert chosen(answers_in(row.answer)[-1], row.choices) == 1


def test_options_are_choices(tmp_path: Path) -> None:
    row = {"question": "Which?", "options": ["red", "green"], "answer": "B"}
    (found,) = read(write(tmp_path / "rows.json", [row])).kept
    assert (found.choices, found.metadata) == (("red", "green"), {})


def test_letters_that_are_not_in_order_are_refused(tmp_path: Path) -> None:
    row = {"question": "Which?", "choices": ["B. red", "A. green"], "answer": "red"}
    one_name = {"question": "Who?", "choices": ["A. Lincoln", "Franklin"], "answer": "A. Lincoln"}
    found = read(write(tmp_path / "rows.json", [row, one_name]))
    assert [entry.reason for entry in found.dropped] == [
        "choices do not fit: their letters are B, A, expected A, B, ... in order"
    ]
    assert found.kept[0].choices == ("A. Lincoln", "Franklin")
