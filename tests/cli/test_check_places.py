"""`check` tells all paths that lead nowhere at once, with their lines, also where the file is wrong elsewhere."""

import json
import logging
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from posttrain import cli

SWEEP = """\
name: mine
model: {checkpoint: tiny:qwen2.5-vl}
strategy: {type: full}
data:
  sources:
    near:
      path: data/question.jsonl
    far: {path: data/far.jsonl}
    good: {path: data/questions.jsonl}
training: {steps: 8, batch_size: 4, learning_rate: 1e-4}
evaluation:
  suites:
    held_out: {source: good}
    other: {source: data/other.json}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    rows = [{"question": f"q{number}", "answer": str(number)} for number in range(8)]
    (tmp_path / "data" / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def checked(folder: Path, capsys: pytest.CaptureFixture[str], text: str) -> tuple[int, list[dict[str, Any]]]:
    (folder / "sweep.yaml").write_text(text)
    code = cli.run(["check", str(folder / "sweep.yaml"), "--json"])
    return code, json.loads(capsys.readouterr().out)["errors"]


def places(issues: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(issue["where"], issue["line"]) for issue in issues]


SOURCES = [("data.sources.near.path", 7), ("data.sources.far.path", 8), ("evaluation.suites.other.source", 14)]


def test_all_sources_that_are_missing_are_told_at_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, issues = checked(folder, capsys, SWEEP)
    assert (code, places(issues)) == (2, SOURCES)
    assert f"did you mean {folder / 'data' / 'questions.jsonl'}?" in issues[0]["message"]
    assert all(issue["file"] == str(folder / "sweep.yaml") for issue in issues)


def test_together_with_mistakes_of_the_file_and_a_missing_checkpoint(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = SWEEP.replace("steps: 8", "stepz: 8").replace("tiny:qwen2.5-vl", "./checkpoint")
    code, issues = checked(folder, capsys, wrong)
    assert code == 2
    assert {*SOURCES, ("model.checkpoint", 2), ("training.stepz", 10)} <= {*places(issues)}
    assert [issue["line"] for issue in issues] == sorted(issue["line"] for issue in issues)


def test_together_with_a_checkpoint_that_cannot_be_used(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "checkpoints").mkdir()
    wrong = SWEEP.replace("tiny:qwen2.5-vl", "checkpoints/qwen, family: vlm")
    code, issues = checked(folder, capsys, wrong)
    assert (code, places(issues)) == (2, [("model.checkpoint", 2), *SOURCES])
    assert "is not there; give a folder" in issues[0]["message"]


def test_a_hub_id_without_a_network_is_one_message_within_seconds(
    folder: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address is one where nothing listens; the libraries' own lines about each request stay away."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{closed.getsockname()[1]}")
    only = SWEEP.replace("data/question.jsonl", "data/questions.jsonl").replace(
        "data/other.json", "data/questions.jsonl"
    )
    (folder / "sweep.yaml").write_text(only.replace("data/far.jsonl", "somebody/something"))
    begin = time.process_time()
    with caplog.at_level(logging.WARNING):
        code = cli.run(["check", str(folder / "sweep.yaml")])
    assert time.process_time() - begin < 30
    told = capfd.readouterr().err.strip().splitlines()
    assert code == 4
    assert len(told) == 1
    assert f"{folder / 'sweep.yaml'}:8: data.sources.far.path: there is no folder {folder / 'somebody'}" in told[0]
    assert "the hub cannot be reached for somebody/something" in told[0]
    assert "hf download --repo-type dataset somebody/something --local-dir FOLDER" in told[0]
    assert not caplog.records


def test_a_hub_that_is_not_reached_hides_no_other_mistake(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    code, issues = checked(folder, capsys, SWEEP.replace("data/far.jsonl", "somebody/something"))
    assert (code, places(issues)) == (2, SOURCES)
    assert "HF_HUB_OFFLINE is set" in issues[1]["message"]
    only = SWEEP.replace("data/question.jsonl", "data/questions.jsonl").replace(
        "data/other.json", "data/questions.jsonl"
    )
    code, issues = checked(folder, capsys, only.replace("data/far.jsonl", "somebody/something"))
    assert (code, places(issues)) == (4, [SOURCES[1]])
