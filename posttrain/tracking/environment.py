"""Where a run ran: versions, git commit, hardware; what environment.json holds.

Everything is read without torch: package versions from their metadata, GPUs from nvidia-smi. What cannot be
found out is null, never a guess. Only a few named environment variables are kept, since the others may hold
secrets.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
import time
from itertools import takewhile
from pathlib import Path
from typing import Any

import psutil

PACKAGES = (
    "posttrain", "torch", "torchvision", "numpy", "av", "diffusers", "transformers", "peft", "trl",
    "accelerate", "datasets", "safetensors", "tokenizers", "ray", "optuna", "pydantic", "tensorboard",
)  # fmt: skip
VARIABLES = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "HF_HUB_OFFLINE", "POSTTRAIN_CACHE", "SLURM_JOB_ID")

_GPU_FIELDS = ("name", "memory.total", "driver_version", "uuid")
_TIMEOUT_S = 20
_NO_DEVICE = ("", "-1", "NoDevFiles")  # in CUDA_VISIBLE_DEVICES


def environment(folder: Path | None = None) -> dict[str, Any]:
    """Return what environment.json holds.

    `folder` is where the user works: its git commit is the one recorded.
    """
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": sys.argv,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "git": _git(folder or Path.cwd()),
        "hardware": hardware(),
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }


def count_gpus() -> int:
    """Return the number of NVIDIA GPUs that this process may use: those in CUDA_VISIBLE_DEVICES, or else all.

    As in CUDA, what follows an invalid entry in that variable is ignored.
    """
    listed = (_output("nvidia-smi", "--list-gpus") or "").splitlines()
    gpus = sum(line.startswith("GPU ") for line in listed)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return gpus
    named = takewhile(lambda name: name.strip() not in _NO_DEVICE, visible.split(","))
    return min(gpus, sum(1 for _ in named))


def hardware() -> dict[str, Any]:
    """Return the `hardware` of environment.json: this machine's name, processors, memory and GPUs."""
    return {
        "node": platform.node(),
        "machine": platform.machine(),
        "cpus": psutil.cpu_count(),
        "cpus_usable": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else psutil.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "gpus": _gpus(),
    }


def _gpus() -> list[dict[str, Any]]:
    text = _output("nvidia-smi", f"--query-gpu={','.join(_GPU_FIELDS)}", "--format=csv,noheader,nounits")
    rows = [[cell.strip() for cell in line.split(",")] for line in (text or "").splitlines()]
    return [
        # nvidia-smi gives MiB, or "[N/A]" on a machine whose memory is shared with the CPU
        {
            "name": name,
            "memory_bytes": int(mib) << 20 if mib.isdigit() else None,
            "driver": driver,
            "uuid": uuid,
        }
        for name, mib, driver, uuid in (row for row in rows if len(row) == len(_GPU_FIELDS))
    ]


def _git(folder: Path) -> dict[str, Any] | None:
    commit = _output("git", "-C", str(folder), "rev-parse", "HEAD")
    if commit is None:
        return None
    changes = _output("git", "-C", str(folder), "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit.strip(), "changed": bool(changes) if changes is not None else None}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _output(*command: str) -> str | None:
    """Return what a command prints, or None where it is not there, fails, or hangs."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
