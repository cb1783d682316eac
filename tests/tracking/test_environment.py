"""environment.json tells versions, commit and hardware, and no secrets."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from posttrain.tracking.environment import count_gpus, environment


def test_it_is_plain_json_and_names_what_matters(tmp_path: Path) -> None:
    found = json.loads(json.dumps(environment(tmp_path), allow_nan=False))
    assert found["packages"]["torch"]
    assert found["packages"]["ray"]
    assert found["hardware"]["cpus"] >= found["hardware"]["cpus_usable"] >= 1
    assert found["hardware"]["memory_bytes"] > 1 << 28
    assert found["git"] is None, "the folder is in no repository"


def test_other_environment_variables_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    found = environment(tmp_path)
    assert "hf_secret" not in json.dumps(found)
    assert found["variables"]["OMP_NUM_THREADS"] == "1"


def test_the_commit_and_whether_files_were_changed(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

    git("init", "-q")
    (tmp_path / "sweep.yaml").write_text("a")
    git("add", ".")
    git("commit", "-qm", "x")
    assert environment(tmp_path)["git"]["changed"] is False
    (tmp_path / "sweep.yaml").write_text("b")
    found = environment(tmp_path)["git"]
    assert found["changed"] is True
    assert len(found["commit"]) == 40


def test_gpus_are_read_from_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA H100, 81559, 570.1, GPU-1'\necho 'NVIDIA GB10, [N/A], 580.2, GPU-2'\n")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    first, second = environment(tmp_path)["hardware"]["gpus"]
    assert first == {"name": "NVIDIA H100", "memory_bytes": 81559 << 20, "driver": "570.1", "uuid": "GPU-1"}
    assert second["memory_bytes"] is None


@pytest.mark.parametrize(
    ("visible", "count"), [(None, 2), ("", 0), ("-1", 0), ("1", 1), ("0,1", 2), ("0,-1,1", 1), ("0,1,2,3", 2)]
)
def test_gpus_are_counted_as_far_as_they_are_visible(
    visible: str | None, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA H100 (UUID: GPU-1)'\necho 'GPU 1: NVIDIA H100 (UUID: GPU-2)'\n")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert count_gpus() == count


def test_a_machine_without_the_driver_has_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert count_gpus() == 0


def test_tracking_and_reports_load_no_heavy_library() -> None:
    modules = (
        "tracking.sessions",
        "tracking.tensorboard",
        "tracking.strip",
        "reports.status",
        "reports.summary",
    )
    code = "import sys, " + ", ".join(f"posttrain.{name}" for name in modules)
    code += "; print([m for m in ('torch', 'tensorflow', 'ray', 'optuna', 'diffusers') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
