"""`posttrain data`: the table, the document, the page and the record; what it must not overwrite; how it is stopped."""

import io
import json
import shutil
import signal
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import pytest
from rich.console import Console

from posttrain import cli
from posttrain.cli.progress import ReadingProgress, reading_line
from posttrain.data import workers
from posttrain.data.demo import render, shapes
from posttrain.paths import RunPaths

SWEEP = """\
name: demo
model: {checkpoint: "tiny:predict2.5"}
strategy: {type: lora}
data:
  sources:
    clips: {path: clips, quality: 0.8}
  filters: [standard, {type: where, where: "camera == 'fixed'"}]
training: {steps: 8, batch_size: 2, learning_rate: 1e-4}
search_space:
  training.learning_rate: {loguniform: [1e-5, 1e-3]}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve good clips; of three more one is empty, one a copy of another, and one of another camera."""
    root = tmp_path_factory.mktemp("made") / "clips"
    videos, captions = root / "videos", root / "captions"
    for folder in (videos, captions):
        folder.mkdir(parents=True)
    for index, clip in enumerate(islice(shapes.clips("fixed-high"), 13)):
        render.write_mp4(videos / f"{index:03d}.mp4", clip.frames_THWC, crf=clip.crf)
        (captions / f"{index:03d}.json").write_text(json.dumps({"caption": clip.caption, **clip.metadata}))
    shutil.copy(videos / "000.mp4", videos / "copy.mp4")
    shutil.copy(captions / "000.json", captions / "copy.json")
    (videos / "empty.mp4").touch()
    (captions / "012.json").write_text(json.dumps({"caption": "A disc rolls to the left.", "camera": "moving"}))
    return root


@pytest.fixture
def project(tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POSTTRAIN_CACHE", str(tmp_path / "cache"))
    shutil.copytree(made, tmp_path / "clips")
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_is_found_kept_and_dropped_is_shown_and_written(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["data", "sweep.yaml"]) == 0
    shown = capsys.readouterr().out
    assert "15 found, 12 kept, 2 dropped by filters, 1 not readable" in shown
    for text in ("0 bytes", "duplicate", "where", "clips/copy", "camera", "sharpness"):
        assert text in shown
    data = RunPaths(project / "runs" / "demo").data
    lines = [json.loads(line) for line in data.manifest_jsonl.read_text().splitlines()]
    assert len(lines) == 15
    assert all("sharpness" in line["scores"] for line in lines if line["id"] != "clips/empty")
    assert json.loads(data.summary_json.read_text())["clips"]["found"] == 15
    page = data.curation_html.read_text()
    assert page.count("<img") > 12
    assert "duplicate: the same file and time as clips/000" in page


def test_json_is_one_document_that_adds_up(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["data", "sweep.yaml", "--json", "--no-html"]) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert err == ""
    assert document["sources"]["clips"]["kept"] == 12
    counts = {reason["filter"]: reason["count"] for reason in document["reasons"]}
    assert counts == {"reading": 1, "duplicate": 1, "where": 1}
    assert sorted(document["files"]) == ["manifest", "summary"]
    assert not RunPaths(project / "runs" / "demo").data.curation_html.exists()


def test_the_record_of_trials_is_not_overwritten_by_other_data(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunPaths(project / "runs" / "demo")
    assert cli.run(["data", "sweep.yaml", "--no-html"]) == 0
    run.study_journal.write_text("{}")
    before = run.manifest_jsonl.read_bytes()
    assert cli.run(["data", "sweep.yaml"]) == 0  # the same data may be looked at
    (project / "clips" / "captions" / "003.json").write_text('{"caption": "now something else", "camera": "fixed"}')
    capsys.readouterr()
    assert cli.run(["data", "sweep.yaml"]) == 2
    assert "clips/003 has another caption" in capsys.readouterr().err
    assert cli.run(["data", "sweep.yaml", "--out", "runs/demo/data"]) == 2
    assert run.manifest_jsonl.read_bytes() == before
    assert cli.run(["data", "sweep.yaml", "--out", "elsewhere"]) == 0
    assert sorted(path.name for path in (project / "elsewhere").iterdir()) == [
        "curation.html",
        "manifest.jsonl",
        "summary.json",
    ]
    assert cli.run(["data", "sweep.yaml", "--out", "look.html"]) == 0
    assert (project / "look.html").is_file()
    assert run.manifest_jsonl.read_bytes() == before


def test_where_the_filters_leave_nothing_the_page_tells_why(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["data", "sweep.yaml", "data.filters=[{type: sharpness, min: 1e9}]"]) == 2
    out, err = capsys.readouterr()
    assert "0 kept, 14 dropped by filters" in out
    assert "the filters leave none" in err
    data = RunPaths(project / "runs" / "demo").data
    assert "14 dropped below 1e+09" in data.curation_html.read_text()
    assert not data.manifest_jsonl.exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.sources.clips.path=nowhere", "nowhere"),
        ("model.checkpoint=tiny:nothing", "tiny:nothing"),
        ("data.filters=[{type: where, where: 'camrea == 1'}]", "camera"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(
    project: Path, capsys: pytest.CaptureFixture[str], override: str, message: str
) -> None:
    assert cli.run(["data", "sweep.yaml", override]) == 2
    assert message in capsys.readouterr().err
    assert not (project / "runs").exists()


def test_all_sources_that_cannot_be_read_are_told(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = ["data.sources.a={path: nowhere}", "data.sources.b={path: neither}"]
    assert cli.run(["data", "sweep.yaml", *overrides]) == 2
    err = capsys.readouterr().err
    assert "nowhere" in err
    assert "neither" in err


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_read(project: Path) -> None:
    """As many files as are read by processes of their own; every one is distinct by what follows its last box."""
    clip = (project / "clips" / "videos" / "001.mp4").read_bytes()
    for index in range(workers._MANY_FILES + 200):
        box = (12).to_bytes(4, "big") + b"free" + index.to_bytes(4, "big")
        (project / "clips" / "videos" / f"n{index:04d}.mp4").write_bytes(clip + box)
        (project / "clips" / "captions" / f"n{index:04d}.json").write_text(f'{{"caption": "clip number {index}"}}')
    command = [sys.executable, "-c", "from posttrain.cli import main; main()", "data", "sweep.yaml", "--no-html"]
    journals = project / "cache" / "scans"
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reading:
        deadline = time.monotonic() + 60
        while not (journals.is_dir() and any(journals.iterdir())) and time.monotonic() < deadline:
            time.sleep(0.05)
        reading.send_signal(signal.SIGINT)
        out, err = reading.communicate(timeout=300)
    (journal,) = journals.iterdir()
    read = [line for line in journal.read_bytes().split(b"\n") if line]
    assert reading.returncode == 3, err
    assert "resumes" in err
    assert "Traceback" not in err
    assert out == ""
    assert 10 < len(read) < workers._MANY_FILES + 214
    assert not (project / "runs").exists()


def test_progress_on_a_terminal_and_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, plain = io.StringIO(), io.StringIO()
    monkeypatch.setattr("posttrain.cli.progress.LINES_EVERY_S", 0.0)
    monkeypatch.setattr("posttrain.cli.progress.TICK_S", 0.01)
    animated = Console(file=terminal, force_terminal=True, force_interactive=True, width=100)
    for console in (animated, Console(file=plain, width=100)):
        with ReadingProgress(console) as progress:
            for done in range(4, 11):
                progress("ego", done, 10)
                time.sleep(0.05)
    assert "ego" in terminal.getvalue()
    assert "10/10" in terminal.getvalue()
    lines = plain.getvalue().splitlines()
    assert "ego: 4 of 10" in lines
    assert any(line.startswith("ego: 10 of 10 after 0:0") for line in lines)
    assert lines[-1].startswith("going through what was read, 0:0")


def test_a_line_of_progress_tells_speed_and_time_left() -> None:
    assert reading_line("ego", 600, 1000, 200, 10.0) == "ego: 600 of 1000, 20/s, about 0:20 left"
    assert reading_line("ego", 1000, 1000, 600, 30.0) == "ego: 1000 of 1000 after 0:30"


def test_a_short_read_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with ReadingProgress() as progress:
        for done in range(4):
            progress("ego", done, 3)
    assert capsys.readouterr().err == ""


def test_fresh_may_delete_what_this_command_wrote(project: Path) -> None:
    from posttrain.config import load_sweep
    from posttrain.sweep.rundir import open_run

    assert cli.run(["data", "sweep.yaml", "--no-html"]) == 0
    run = RunPaths(project / "runs" / "demo")
    with open_run(load_sweep(project / "sweep.yaml", []), run, fresh=True):
        assert not run.manifest_jsonl.exists()
