"""`check` finds what is wrong with a reward of one's own before anything is loaded."""

import json
from pathlib import Path

import pytest

from posttrain import cli

SWEEP = """\
name: demo
model: {checkpoint: tiny:qwen2.5-vl}
strategy:
  type: rl
  allow_code: true
  rewards:
    mine: {file: code/rewards.py}
data: {sources: {rows: {path: demo:digits/choice}}}
training: {steps: 8, batch_size: 4, learning_rate: 1e-4}
"""


def checked(folder: Path, capsys: pytest.CaptureFixture[str], text: str = SWEEP) -> tuple[int, list[dict[str, object]]]:
    (folder / "sweep.yaml").write_text(text)
    code = cli.run(["check", str(folder / "sweep.yaml"), "--json"])
    return code, json.loads(capsys.readouterr().out)["errors"]


def test_a_file_is_looked_for_beside_the_sweep_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, (issue,) = checked(tmp_path, capsys)
    assert code == 2
    assert (issue["where"], issue["line"]) == ("strategy.rewards.mine.file", 7)
    assert "there is no file" in str(issue["message"])
    (tmp_path / "code").mkdir()
    (tmp_path / "code/rewards.py").write_text("def other(question, choices, answer, completion, **row): return 1.0\n")
    code, (issue,) = checked(tmp_path, capsys)
    assert code == 2
    assert "has no function mine" in str(issue["message"])
    (tmp_path / "code/rewards.py").write_text("def mine(question, choices, answer, completion, **row): return 1.0\n")
    assert checked(tmp_path, capsys) == (0, [])


def test_no_code_runs_without_leave(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code/rewards.py").write_text("from pathlib import Path\nPath(__file__).with_name('ran').touch()\n")
    code, (issue,) = checked(tmp_path, capsys, SWEEP.replace("  allow_code: true\n", ""))
    assert code == 2
    assert "allow_code: true" in str(issue["hint"])
    assert not (tmp_path / "code/ran").exists()


def test_answers_that_cannot_be_compared_as_formulas_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = ["x+1", r"\frac{1}{2}", r"\frac{1}{", "red", "7", "x + + ) 2", "yes", "no"]
    rows = [{"id": str(number), "question": f"q{number}", "answer": answer} for number, answer in enumerate(answers)]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    text = SWEEP.replace("demo:digits/choice", "rows.json").replace("  allow_code: true\n", "")
    text = text.replace("    mine: {file: code/rewards.py}\n", "    accuracy: 1.0\n")
    (tmp_path / "sweep.yaml").write_text(text)
    assert cli.run(["check", str(tmp_path / "sweep.yaml"), "--json"]) == 0
    warnings = json.loads(capsys.readouterr().out)["warnings"]
    (told,) = [warning["message"] for warning in warnings if "formula" in warning["message"]]
    assert told.startswith("2 x answer that reads like a formula and cannot be parsed (first: rows/2: ")
