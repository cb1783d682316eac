"""The command line: light start, exit codes, `check` in words and as JSON, demo data as files."""

import errno
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from posttrain import __version__, cli
from posttrain.cli.sweep_file import open_sweep
from posttrain.errors import DataError, EnvironmentFault, Interrupted, NoAnswer
from posttrain.paths import RunPaths
from posttrain.sweep.rundir import open_run

HEAVY = ("torch", "ray", "optuna", "transformers", "diffusers", "peft", "trl", "datasets", "tensorboard", "av", "numpy")
SWEEP = """\
name: demo
model: {checkpoint: tiny:predict2.5}
strategy: {type: lora}
data:
  sources:
    high: {path: demo:shapes/fixed-high}
training: {steps: 8, batch_size: 4, learning_rate: 1e-4}
search_space:
  training.learning_rate: {loguniform: [1e-5, 1e-3]}
"""


@pytest.fixture
def sweep_file(tmp_path: Path) -> Path:
    path = tmp_path / "sweep.yaml"
    path.write_text(SWEEP)
    return path


@pytest.mark.parametrize(
    "arguments", [["--help"], ["check", "--help"], ["doctor", "--help"], ["--version"], ["check", "nowhere.yaml"]]
)
def test_starting_loads_no_heavy_library(arguments: list[str]) -> None:
    program = (
        "import sys\nfrom posttrain.cli import run\nrun(sys.argv[1:])\n"
        f"print('loaded:', *[name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].strip() == "loaded:"


def test_the_program_is_installed_under_its_name() -> None:
    program = Path(sys.executable).parent / "posttrain"
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"posttrain {__version__}\n"


def test_a_good_file_is_summed_up(sweep_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["check", str(sweep_file), "search.trials=12"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("OK: 12 trials of 8 steps")
    assert "demo:shapes/fixed-high" in shown
    assert "loguniform [1e-05, 0.001]" in shown


def test_a_good_file_as_json_is_one_document(sweep_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["check", str(sweep_file), "--json", "overfit=off"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["ok"], document["errors"]) == (True, [])
    assert [warning["where"] for warning in document["warnings"]] == ["overfit"]


def test_a_wrong_file_is_told_on_standard_error_without_a_traceback(
    sweep_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep_file.write_text(SWEEP.replace("1e-4", "abc").replace("steps: 8", "stepz: 8"))
    assert cli.run(["check", str(sweep_file)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert f"{sweep_file}:7: training.learning_rate: found 'abc', expected a number above 0." in err
    assert "training.stepz: unknown key. Did you mean 'steps'?" in err
    assert err.endswith("3 errors\n")


def test_a_wrong_file_as_json_lists_every_error(sweep_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["check", str(sweep_file), "--json", "training.steps=0", "strategy.type=rl"]) == 2
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert err == ""
    assert document["ok"] is False
    assert {error["where"] for error in document["errors"]} == {"training.steps", "strategy.type"}
    assert set(document["errors"][0]) == {"where", "file", "line", "message", "hint"}


@pytest.mark.parametrize(
    ("override", "where"),
    [
        ("model.checkpoint=./nowhere", "model.checkpoint"),
        ("model.checkpoint=tiny:nothing", "model.checkpoint"),
        ("data.sources.high.path=nowhere", "data.sources.high.path"),
        ("training.conditioning_frames={3: 1.0}", "training.conditioning_frames"),
    ],
)
def test_what_the_file_names_is_held_against_the_disk(
    sweep_file: Path, capsys: pytest.CaptureFixture[str], override: str, where: str
) -> None:
    assert cli.run(["check", str(sweep_file), "--json", override]) == 2
    (error,) = json.loads(capsys.readouterr().out)["errors"]
    assert error["where"] == where
    assert error["file"] == "command line"


def test_all_sources_that_cannot_be_used_are_told(sweep_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = ["data.sources.a={path: nowhere}", "data.sources.b={path: neither}"]
    assert cli.run(["check", str(sweep_file), *overrides]) == 2
    err = capsys.readouterr().err
    assert "nowhere" in err
    assert "neither" in err


def test_dropped_clips_are_warned_of(sweep_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["demo", "shapes/fixed-high", str(tmp_path / "clips")]) == 0
    (tmp_path / "clips" / "videos" / "000.mp4").write_bytes(b"")
    (tmp_path / "clips" / "captions" / "001.json").unlink()
    capsys.readouterr()
    assert cli.run(["check", str(sweep_file), "--json", "data.sources.high.path=clips"]) == 0
    warnings = json.loads(capsys.readouterr().out)["warnings"]
    assert [warning["where"] for warning in warnings] == ["data.sources.high"] * 2
    assert all("1 of 64 clips dropped" in warning["message"] for warning in warnings)


def test_json_is_one_document_where_the_machine_refuses_too(
    sweep_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a_file").touch()
    monkeypatch.setenv("POSTTRAIN_CACHE", str(tmp_path / "a_file"))
    assert cli.run(["check", str(sweep_file), "--json"]) == 4
    document = json.loads(capsys.readouterr().out)
    assert not document["ok"]
    assert "a_file" in document["errors"][0]["message"]


@pytest.mark.parametrize("arguments", [["--nothing"], ["nothing"], ["check"], ["check", "a.yaml", "--jsn"]])
def test_an_unknown_option_or_command_is_the_users_mistake(arguments: list[str]) -> None:
    assert cli.run(arguments) == 2


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (NoAnswer("no trial was completed"), 1, "error: no trial was completed"),
        (DataError("no videos"), 2, "error: no videos"),
        (Interrupted("stopped"), 3, "stopped"),
        (KeyboardInterrupt(), 3, "resumes"),
        (EnvironmentFault("no cluster"), 4, "error: no cluster"),
        (OSError(errno.ENOSPC, "No space left on device", "/data/x"), 4, "/data/x: cannot be written"),
        (MemoryError("3 GiB"), 4, "not enough memory"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_become_one_message_and_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int, message: str
) -> None:
    monkeypatch.setattr(cli, "COMMANDS", (*cli.COMMANDS, _failing(error)))
    assert cli.run(["fail"]) == code
    err = capsys.readouterr().err
    assert message in err
    assert ("error:" in err) == (code in (1, 2, 4)), "an interruption is no error"
    assert "Traceback" not in err


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "COMMANDS", (*cli.COMMANDS, _failing(ZeroDivisionError("a bug"))))
    with pytest.raises(ZeroDivisionError):
        cli.run(["fail"])


def test_a_command_may_choose_its_own_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "COMMANDS", (*cli.COMMANDS, _failing(typer.Exit(1))))
    assert cli.run(["fail"]) == 1


def test_demo_data_is_written_as_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["demo", "shapes/fixed-high", str(tmp_path / "out")]) == 0
    assert len(list((tmp_path / "out" / "videos").glob("*.mp4"))) == 64
    assert cli.run(["demo", "shaps", str(tmp_path / "other")]) == 2
    assert "did you mean demo:shapes" in capsys.readouterr().err


def _failing(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


def test_plan_tells_what_would_run_and_runs_nothing(
    sweep_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    assert cli.run(["plan", str(sweep_file), "--json", "--runs", str(runs)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert set(document) == {"trials", "slots", "samples", "metadata", "stages", "estimate", "warnings", "advice"}
    assert set(document["estimate"]) == {"seconds", "gpu_hours", "disk_bytes", "peak_memory_bytes", "source"}
    assert not runs.exists()
    assert cli.run(["plan", str(sweep_file), "--runs", str(runs)]) == 0
    shown = capsys.readouterr().out
    assert document["advice"][0] in shown
    command = f"posttrain train {sweep_file} training.steps=20"
    assert f"time: unknown until a trial of this model has run here; `{command}` measures it" in shown
    assert " 0.00 " not in shown


def test_plan_tells_time_and_memory_by_earlier_trials_of_the_model(
    sweep_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunPaths(tmp_path / "runs" / "before")
    with open_run(open_sweep(sweep_file, ["name=before"]), run, fresh=False):
        seconds = {"gate": 60 * 16 * 0.01, "training": 8 * 4 * 0.5, "evaluation": 2.0}
        result = {"status": "completed", "steps": 8, "seconds": seconds, "peak_memory_bytes": 123_400_000}
        run.trial("t0001").root.mkdir(parents=True)
        run.trial("t0001").result_json.write_text(json.dumps(result))
    plan = ["plan", str(sweep_file), "--runs", str(run.root.parent), "search.trials=10", "resources.slots=1"]
    assert cli.run([*plan, "--json"]) == 0
    estimate = json.loads(capsys.readouterr().out)["estimate"]
    assert estimate["seconds"] == pytest.approx(10 * sum(seconds.values()))
    assert estimate["peak_memory_bytes"] == 123_400_000
    source = {"trials": 1, "runs": [str(run.root)]}
    assert estimate["source"] == {"seconds": source, "peak_memory_bytes": source}
    assert cli.run(plan) == 0
    shown = capsys.readouterr().out
    assert "time: at most about 4 min 36 s" in shown
    assert f"memory: 123 MB a worker at its peak, all included; from 1 trial in {run.root} on this machine" in shown
