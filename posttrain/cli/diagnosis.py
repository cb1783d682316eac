"""What may be wrong with a machine, an installation or the cache: small checks, each with its remedy. No torch here.

What torch and torchcodec really do is told by a process of its own: a library that cannot be loaded may take the
process down with it.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from posttrain.cache.account import cache_limit, free_bytes, size_text
from posttrain.cache.leases import FOLDER
from posttrain.cli.plain_loading import loading_problems
from posttrain.cli.problem import Problem
from posttrain.cli.versions import other_versions, unsupported
from posttrain.errors import ConfigError
from posttrain.paths import cache_dir

# A sweep writes checkpoints and encodings of several gigabytes.
LOW_DISK_BYTES = 5 * 10**9
_TIMEOUT_S = 120
_NEEDED = ("torch", "torchvision", "diffusers", "transformers", "peft", "trl", "accelerate", "safetensors", "av",
           "ray", "optuna", "numpy")  # fmt: skip
_PROBE = """
import importlib.util, json
found = {"cuda": None, "torch_error": None, "torchcodec_error": None}
try:
    import torch
    found["cuda"] = torch.version.cuda or torch.version.hip
    found["sees_gpu"] = torch.cuda.is_available()
except Exception as error:
    found["torch_error"] = f"{type(error).__name__}: {error}".splitlines()[0]
if importlib.util.find_spec("torchcodec") is not None:
    try:
        import torchcodec.decoders
    except Exception as error:
        found["torchcodec_error"] = f"{type(error).__name__}: {error}".splitlines()[0]
print(json.dumps(found))
"""


def diagnose(found: Mapping[str, Any]) -> list[Problem]:
    """All that is wrong; `found` is what `tracking.environment` tells."""
    cores = found["hardware"]["cpus_usable"]
    told = probe()
    return [
        *missing_packages(found["packages"]),
        *unsupported(other_versions()),
        *libraries(found, told),
        *(() if told.get("torch_error") else loading_problems()),
        *places(),
        *threads(os.environ, cores),
    ]


def missing_packages(packages: Mapping[str, str | None]) -> list[Problem]:
    """What is not installed and needed."""
    missing = [name for name in _NEEDED if packages.get(name) is None]
    if not missing:
        return []
    remedy = "install posttrain again, which brings them: `pip install --force-reinstall posttrain`"
    return [Problem("packages_missing", f"not installed: {', '.join(missing)}", remedy, is_fatal=True)]


def probe() -> dict[str, Any]:
    """What torch and torchcodec say in a fresh process; {"torch_error": ...} where that cannot even start."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE], capture_output=True, text=True, timeout=_TIMEOUT_S, check=True
        )
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        return {"torch_error": f"it cannot be loaded ({error})"}
    return answer


def libraries(found: Mapping[str, Any], told: Mapping[str, Any]) -> Iterator[Problem]:
    """torch without the GPU that is there, and libraries that do not load."""
    gpus = found["hardware"]["gpus"]
    if told.get("torch_error") and found["packages"].get("torch"):
        remedy = "install it again, in the version that posttrain asks for"
        yield Problem("torch_broken", f"torch: {told['torch_error']}", remedy, is_fatal=True)
    elif gpus and not told.get("cuda"):
        remedy = "install the CUDA build of the same version (pytorch.org tells the index to install it from)"
        yield Problem("torch_without_cuda", f"{len(gpus)} GPU(s), but this torch computes on the CPU alone", remedy)
    elif gpus and not told.get("sees_gpu"):
        remedy = "look at CUDA_VISIBLE_DEVICES, and whether the driver is new enough for this torch"
        yield Problem("gpu_unseen", f"{len(gpus)} GPU(s), but torch {told['cuda']} sees none", remedy)
    if told.get("torchcodec_error"):
        yield Problem(
            "torchcodec_broken",
            f"torchcodec is installed and does not load ({told['torchcodec_error']}); merely installed it breaks "
            "reading videos from data sets",
            "`pip uninstall torchcodec` (posttrain reads with PyAV), or install FFmpeg and the build for this torch",
        )


def places() -> Iterator[Problem]:
    """Folders that cannot be written, a limit that is no size, and a disk that is nearly full."""
    cache, work = cache_dir(), Path.cwd()
    if not _can_write(cache / FOLDER):
        remedy = "change its permissions, or point POSTTRAIN_CACHE at a folder that can be written"
        yield Problem("cache_unwritable", f"{cache}: the cache cannot be written", remedy, is_fatal=True)
    if not os.access(work, os.W_OK):
        yield Problem(
            "work_unwritable", f"{work}: runs cannot be written here", "go to a folder of your own, or give --runs"
        )
    if not _can_write(hub_cache()):
        remedy = "point HF_HOME at a folder that can be written; checkpoints from the hub are kept there"
        yield Problem("hub_cache_unwritable", f"{hub_cache()}: the hub's cache cannot be written", remedy)
    try:
        cache_limit(0)
    except ConfigError as error:
        yield Problem("limit_wrong", error.issues[0].message, f"POSTTRAIN_CACHE_LIMIT: {error.issues[0].hint}", True)
    for name, folder in {"the cache": cache, "runs": work}.items():
        free = free_on_disk(folder)
        if free is not None and free < LOW_DISK_BYTES:
            remedy = "free some space; `posttrain doctor --prune SIZE` takes it from the cache"
            yield Problem("disk_low", f"{folder}: {size_text(free)} free for {name}", remedy)


def threads(variables: Mapping[str, str], num_cores: int) -> Iterator[Problem]:
    """More threads a process than there are cores; the workers of a sweep get theirs from resources.cpus_per_worker."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        text = variables.get(name, "")
        if text.isdigit() and int(text) > num_cores:
            yield Problem(
                "threads",
                f"{name} is {text} and {num_cores} cores may be used: threads that wait for each other are many times "
                "slower",
                f"leave {name} unset, or set it to 1",
            )


def hub_cache() -> Path:
    """Where the hub's libraries keep checkpoints; told without loading them, as `huggingface_hub.constants` does."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    return Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub").expanduser()


def free_on_disk(folder: Path) -> int | None:
    """Free bytes of the disk that holds `folder`, or would; None where it does not tell."""
    try:
        return free_bytes(folder)
    except OSError:
        return None


def _can_write(folder: Path) -> bool:
    """Tried out, since permissions alone do not tell of a disk that is read-only; leaves nothing behind."""
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
    finally:
        for place in made:
            with contextlib.suppress(OSError):
                place.rmdir()
