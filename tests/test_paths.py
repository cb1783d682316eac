"""Files are whole or absent, and a run directory's names are those of the design."""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from posttrain.errors import EnvironmentFault
from posttrain.paths import RunPaths, cache_dir, copy_folder, shipped, write_atomic, write_json_atomic


def test_the_cache_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTTRAIN_CACHE", str(tmp_path / "cache"))
    assert cache_dir() == tmp_path / "cache"
    monkeypatch.setenv("POSTTRAIN_CACHE", "")
    assert cache_dir() == Path.home() / ".cache" / "posttrain"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POSTTRAIN_CACHE", "here")
    assert cache_dir() == tmp_path / "here"


def test_shipped_files_are_found() -> None:
    assert shipped("search_spaces").is_dir()


def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "result.json"
    write_atomic(path, "old")
    write_json_atomic(path, {"wert": "größer", "n": [1, 2.5, None]})
    assert json.loads(path.read_text(encoding="utf-8")) == {"wert": "größer", "n": [1, 2.5, None]}
    assert list(path.parent.iterdir()) == [path]


def test_a_nan_is_refused_instead_of_writing_what_is_no_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json_atomic(tmp_path / "a.json", {"loss": float("nan")})
    assert not (tmp_path / "a.json").exists()


def test_a_place_that_cannot_be_written_is_named_and_the_old_file_stays(tmp_path: Path) -> None:
    """A file size limit refuses the write as a full disk does, and binds root too."""
    path = tmp_path / "a.txt"
    write_atomic(path, "old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(EnvironmentFault, match=r"a\.txt"):
            write_atomic(path, "x" * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_a_file_is_a_fault_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(EnvironmentFault, match="runs"):
        write_atomic(tmp_path / "runs" / "a.txt", "x")


def test_many_writers_of_one_file_leave_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    program = (
        "import sys; from pathlib import Path; from posttrain.paths import write_atomic\n"
        "for _ in range(30): write_atomic(Path(sys.argv[1]), sys.argv[2] * 50000)"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program, str(path), letter]) for letter in "ab"]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    assert path.read_text() in ("a" * 50000, "b" * 50000)
    assert os.listdir(tmp_path) == ["a.txt"]  # noqa: PTH208 - hidden files count


def test_a_run_directory_has_the_names_of_the_design(tmp_path: Path) -> None:
    run = RunPaths(tmp_path)
    trial = run.trial("t0007")
    files = {
        "sweep.yaml": run.sweep_yaml,
        "environment.json": run.environment_json,
        "data/manifest.jsonl": run.manifest_jsonl,
        "data/summary.json": run.data_summary_json,
        "study.journal": run.study_journal,
        "summary.json": run.summary_json,
        "trials/t0007/trial.yaml": trial.trial_yaml,
        "trials/t0007/overfit.json": trial.overfit_json,
        "trials/t0007/metrics.jsonl": trial.metrics_jsonl,
        "trials/t0007/checkpoints": trial.checkpoints,
        "trials/t0007/result.json": trial.result_json,
        "trials/t0007/error.txt": trial.error_txt,
    }
    assert {name: tmp_path / name for name in files} == files


def test_a_folder_is_copied_whole(tmp_path: Path) -> None:
    write_atomic(tmp_path / "source" / "a" / "b", "text")
    (tmp_path / "out").mkdir()
    copy_folder(tmp_path / "source", tmp_path / "out")
    assert (tmp_path / "out" / "a" / "b").read_text() == "text"


def test_of_a_folder_that_cannot_be_copied_nothing_is_left(tmp_path: Path) -> None:
    write_atomic(tmp_path / "source" / "a" / "b", "text")
    (tmp_path / "source" / "c").symlink_to(tmp_path / "missing")
    with pytest.raises(EnvironmentFault) as caught:
        copy_folder(tmp_path / "source", tmp_path / "out")
    assert str(caught.value).startswith(f"{tmp_path / 'out'}: cannot be written")
    assert len(str(caught.value)) < 400
    assert not (tmp_path / "out").exists()
