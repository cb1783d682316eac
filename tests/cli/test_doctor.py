"""`posttrain doctor`: one document, problems with remedies, and a cache that is pruned as asked."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from posttrain import cache, cli
from posttrain.cli import diagnosis, versions
from posttrain.cli.plain_loading import IMPORTS
from posttrain.cli.problem import Problem

CPU: dict[str, Any] = {"packages": {"torch": "2.13.0"}, "hardware": {"gpus": [], "cpus_usable": 2}}
GPU: dict[str, Any] = {"packages": {"torch": "2.13.0"}, "hardware": {"gpus": [{"name": "H100"}], "cpus_usable": 2}}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with entries of one and of forty days ago, and what a killed process left."""
    root = tmp_path / "cache"
    monkeypatch.setenv("POSTTRAIN_CACHE", str(root))
    monkeypatch.setenv("POSTTRAIN_CACHE_LIMIT", "10kB")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub-home"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.chdir(tmp_path)
    for name, days in {"encodings/latents/ab/new": 1, "encodings/latents/ab/old": 40, "media/cd/.left.part": 2}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 1000)
        then = path.stat().st_mtime - days * 86400
        os.utime(path, (then, then))
    return root


@pytest.fixture
def light(light_exports: Path) -> None:
    """Sound libraries that take no time to load, as real packages on the path of the processes that doctor starts."""
    package = light_exports / "torch"
    package.mkdir()
    (package / "__init__.py").write_text(
        "class version:\n    cuda = hip = None\nclass cuda:\n    is_available = bool\n"
    )


@pytest.fixture
def light_exports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of such libraries where only those are light that an export needs: torch is the one installed."""
    names = ", ".join(line.partition(" import ")[2] for line in IMPORTS.values()).replace(", ", " = ")
    for name in IMPORTS:
        package = tmp_path / "light" / name
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(f"{names} = None\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "light"), *sys.path]))
    return tmp_path / "light"


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: str) -> tuple[int, Any]:
        code = cli.run(["doctor", *arguments, "--json"])
        return code, json.loads(capsys.readouterr().out)

    return run


def codes(document: Any) -> list[str]:
    return [problem["code"] for problem in document["problems"]]


def test_a_sound_machine_is_one_document(root: Path, light_exports: Path, doctor: Any) -> None:
    """With the torch that is installed; that doctor tries the plain libraries is in test_plain_loading.py."""
    code, document = doctor()
    assert (code, document["ok"], document["removed"]) == (0, True, None)
    # the machine that runs the tests may have these
    assert set(codes(document)) <= {"disk_low", "torchcodec_broken"}
    assert document["packages"]["torch"]
    assert {each["name"] for each in document["not_tested"]} <= versions.tested_versions().keys()
    assert document["cache"]["path"] == str(root)
    assert document["cache"]["limit_bytes"] == 10_000
    latents = document["cache"]["kinds"]["encodings"]
    assert (latents["entries"], latents["bytes"]) == (2, 2000)
    assert latents["days_since_used"] == pytest.approx(1, abs=0.01)
    assert latents["days_since_oldest"] == pytest.approx(40, abs=0.01)
    assert document["cache"]["abandoned"] == {"files": 1, "bytes": 1000}
    assert document["hub_cache"] == str(root.parent / "hub-home" / "hub")
    assert not (root.parent / "hub-home").exists()  # looking leaves nothing behind


def test_in_words(root: Path, light: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["doctor", "--older", "30"]) == 0
    shown = capsys.readouterr().out
    assert "1 kB of at most 10 kB" in shown
    assert "removed 2 kB: 1 of encodings, 1 abandoned" in shown
    assert "versions: " in shown


def test_pruning_by_age_by_size_and_to_the_limit(
    root: Path, light: None, doctor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, document = doctor("--prune")
    assert document["removed"] == {"bytes": 1000, "entries": {}, "abandoned": 1, "kept_in_use": {}}
    _, document = doctor("--older", "30")
    assert document["removed"]["entries"] == {"encodings": 1}
    assert document["cache"]["bytes"] == 1000
    cache.touch(root / "encodings/latents/ab/new")
    _, document = doctor("--prune", "0")
    assert document["removed"]["kept_in_use"] == {"encodings": 1}
    assert document["cache"]["in_use_bytes"] == 1000
    assert document["cache"]["processes"][0].endswith(f":{os.getpid()}")


def test_sizes_that_are_wrong_or_stand_alone_are_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["doctor", "5GB"]) == 2
    assert "Write `--prune 5GB`" in capsys.readouterr().err
    assert cli.run(["doctor", "--prune", "lots"]) == 2
    assert "'lots' is no size" in capsys.readouterr().err
    assert len(cache.survey().entries) == 2


def test_what_is_needed_and_broken_ends_with_4(
    root: Path, light: None, doctor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTTRAIN_CACHE_LIMIT", "lots")
    code, document = doctor("--prune")
    assert (code, document["ok"], codes(document)[-1]) == (4, False, "limit_wrong")
    assert document["removed"] is None
    file = root.parent / "file"
    file.write_text("")
    monkeypatch.setenv("POSTTRAIN_CACHE", str(file))
    monkeypatch.delenv("POSTTRAIN_CACHE_LIMIT")
    code, document = doctor()
    assert code == 4
    assert "cache_unwritable" in codes(document)
    assert "kinds" not in document["cache"]


def found(problems: Any) -> list[tuple[str, bool]]:
    return [(problem.code, problem.is_fatal) for problem in problems]


def test_a_gpu_that_torch_does_not_use() -> None:
    assert found(diagnosis.libraries(CPU, {"cuda": None})) == []
    assert found(diagnosis.libraries(GPU, {"cuda": None})) == [("torch_without_cuda", False)]
    assert found(diagnosis.libraries(GPU, {"cuda": "12.8", "sees_gpu": False})) == [("gpu_unseen", False)]
    assert found(diagnosis.libraries(GPU, {"cuda": "12.8", "sees_gpu": True})) == []


def test_libraries_that_do_not_load(tmp_path: Path, light: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A torchcodec without its FFmpeg beside a sound torch, and a torch without its C++ library, on the path."""
    for name, fault in {"torchcodec": "RuntimeError('no FFmpeg')", "torch": "ImportError('libtorch.so')"}.items():
        package = tmp_path / name / name
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("" if name == "torchcodec" else f"raise {fault}\n")
        (package / "decoders.py").write_text(f"raise {fault}\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "torchcodec"), os.environ["PYTHONPATH"]]))
    (problem,) = diagnosis.libraries(CPU, diagnosis.probe())
    assert (problem.code, problem.is_fatal) == ("torchcodec_broken", False)
    assert "RuntimeError: no FFmpeg" in problem.message
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "torch"))
    told = diagnosis.probe()
    assert found(diagnosis.libraries(CPU, told)) == [("torch_broken", True)]
    assert told["torch_error"] == "ImportError: libtorch.so"


def test_missing_packages_are_named() -> None:
    have = dict.fromkeys(diagnosis._NEEDED, "1")
    assert diagnosis.missing_packages(have) == []
    (problem,) = diagnosis.missing_packages({**have, "peft": None, "av": None})
    assert problem.is_fatal
    assert problem.message == "not installed: peft, av"


def test_a_disk_that_is_nearly_full(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "LOW_DISK_BYTES", 10**18)
    problems = list(diagnosis.places())
    assert found(problems) == [("disk_low", False), ("disk_low", False)]
    assert "posttrain doctor --prune" in problems[0].remedy


def test_more_threads_than_cores() -> None:
    assert list(diagnosis.threads({"OMP_NUM_THREADS": "2"}, 2)) == []
    (problem,) = diagnosis.threads({"OMP_NUM_THREADS": "64"}, 2)
    assert problem == Problem("threads", problem.message, "leave OMP_NUM_THREADS unset, or set it to 1")
    assert "64 and 2 cores" in problem.message
