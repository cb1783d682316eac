"""What a path means: a place on the disk is never looked for on the hub, and a missing one says the nearest name."""

from pathlib import Path

import pytest

from posttrain.config import SourceConfig
from posttrain.data import ClipSpec, RowSpec, scan
from posttrain.data.places import is_local, missing, suggestion
from posttrain.errors import DataError

SPECS = [RowSpec(), ClipSpec(frames=9, height=32, width=32, fps=8.0)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data" / "videos").mkdir(parents=True)
    (tmp_path / "data" / "questions.jsonl").write_text('{"question": "q", "answer": "a"}\n')
    return tmp_path


@pytest.mark.parametrize(
    ("path", "local"),
    [
        ("data", True),
        ("data/question.jsonl", True),
        ("data/nothing", True),
        ("./owner/name", True),
        ("../owner/name", True),
        ("~/owner/name", True),
        ("/owner/name", True),
        ("file:///owner/name", True),
        ("owner/rows.jsonl", True),
        ("owner/clip.MP4", True),
        ("owner/shard-0.tar", True),
        ("a/b/c", True),
        ("owner/name", False),
        ("owner/name.v2", False),
        ("owner/name:train", False),
        ("owner/name@v1.0:train", False),
    ],
)
def test_what_is_looked_for_on_the_disk(folder: Path, path: str, local: bool) -> None:
    assert is_local(path, folder) is local


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("path", ["data/question.jsonl", "data/qestions", "./dta", "owner/rows.jsonl", "dat"])
def test_a_mistyped_path_is_refused_without_a_request(
    folder: Path, path: str, spec: RowSpec | ClipSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def request(*_: object, **__: object) -> None:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", request)
    near = {"data/question.jsonl": "data/questions.jsonl", "./dta": "data", "dat": "data"}.get(path)
    with pytest.raises(DataError, match=r"data\.sources\.a\.path: .* is not there") as caught:
        scan("a", SourceConfig(path=path), spec, folder)
    assert (f"did you mean {folder / near}?" in str(caught.value)) if near else ("owner" in path or "qest" in path)
    assert missing(path, folder) in str(caught.value)


def test_what_is_there_or_cannot_be_told_is_not_missing(folder: Path) -> None:
    for path in ("data", "data/questions.jsonl", "owner/name", "demo:shapes", "https://host/x.tar", "data/{0..9}.tar"):
        assert missing(path, folder) is None


def test_the_nearest_name_is_looked_for_in_the_last_folder_that_exists(folder: Path) -> None:
    assert suggestion(folder / "data" / "vidoes" / "a.mp4") == f" (did you mean {folder / 'data' / 'videos'}?)"
    assert suggestion(folder / "data" / "else") == ""
    assert suggestion(Path("hf:/datasets/owner/name")) == ""
