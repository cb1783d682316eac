"""The main job as a user runs it: the command line in processes of its own, real Ray, real files, a tiny model."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

QUICKSTART = Path(__file__).parents[2] / "sweeps/quickstart.yaml"
# The shipped quickstart made shorter, with one learning rate in three that teaches nothing.
SMALLER: dict[str, Any] = {
    "name": "small",
    "training": {"steps": 60, "batch_size": 4, "learning_rate": 2.0e-2, "precision": "fp32"},
    "evaluation": {
        "every": 10,
        "suites": {"held_out": {"source": "fixed", "samples": 5}},
        "psnr": {"clips": 2, "sampler_steps": 4},
    },
    "overfit": {"samples": 4, "steps": 60},
    "search_space": {
        "training.learning_rate": {"choice": [1.0e-6, 1.5e-2, 2.0e-2]},
        "data.stages.all.weights": {"simplex": ["fixed", "tracking", "noisy"], "min": 0.05},
    },
    "search": {"trials": 4, "sampler": "random", "scheduler": {"type": "none"}},
    "resources": {"slots": 1},
}
Ready = Callable[[Path], bool]


@dataclass(frozen=True)
class Ended:
    """How one start of the program ended."""

    exit_code: int
    output: str


@dataclass(frozen=True)
class Program:
    """Runs `posttrain` in a folder of its own, with the session's cache."""

    folder: Path

    def __call__(
        self, *arguments: str, until: Ready | None = None, then: int = signal.SIGKILL, is_read: bool = True
    ) -> Ended:
        """Runs to the end, or sends the signal `then` as soon as `until` holds for the folder.

        Where not `is_read`, the reader of its output goes away at once, as `| head -1` does.
        """
        command = [str(Path(sys.executable).with_name("posttrain")), *arguments]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        with (self.folder / "output.txt").open("w+") as output:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment,
                stdout=output if is_read else subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            if process.stdout is not None:
                process.stdout.close()
            while until is not None and process.poll() is None and not until(self.folder):
                time.sleep(0.05)
            if until is not None and process.poll() is None:
                process.send_signal(then)
            process.wait(timeout=240)
            output.seek(0)
            return Ended(process.returncode, output.read())

    def json(self, path: str) -> Any:
        """A JSON file below the folder."""
        return json.loads((self.folder / path).read_text(encoding="utf-8"))


def ray_processes() -> list[str]:
    """Command lines of Ray's processes on this machine."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        if "ray::" in line or "raylet" in line or "gcs_server" in line:
            found.append(line)
    return found


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Program:
    """The program in a folder with `small.yaml`; the cache is the session's own."""
    assert cache.is_dir()
    folder = tmp_path_factory.mktemp("main_job")
    quickstart = yaml.safe_load(QUICKSTART.read_text(encoding="utf-8"))
    (folder / "small.yaml").write_text(yaml.safe_dump(quickstart | SMALLER), encoding="utf-8")
    return Program(folder)


@dataclass(frozen=True)
class Finished:
    """A sweep that was interrupted, killed, and then run to its end.

    `ray_before` holds the Ray processes before the first start, `ray_left` those left by each of the three.
    """

    program: Program
    starts: list[Ended]
    ray_before: set[str]
    ray_left: list[list[str]]

    def ray_left_at_last(self) -> list[str]:
        """The Ray processes left when all is over."""
        return _remaining(self.ray_before, 75)


@pytest.fixture(scope="session")
def finished(program: Program) -> Finished:
    """SIGTERM while the first trial trains, SIGKILL while a later one does, then to the end.

    Nobody reads what the second start prints: it must come as far all the same.
    """
    starts, left = [], []
    at_first = set(ray_processes())
    for until, signal_number in (
        (_trains("t0001", 20), signal.SIGTERM),
        (_trains("t000[2-4]", 10), signal.SIGKILL),
        (None, signal.SIGKILL),
    ):
        before = set(ray_processes())
        starts.append(program("sweep", "small.yaml", until=until, then=signal_number, is_read=len(starts) != 1))
        left.append(_remaining(before, 15, RAYS_AGENTS))
    return Finished(program, starts, at_first, left)


def _trains(trials: str, step: int) -> Ready:
    """Holds when a trial of these is at that step and not at its end."""

    def ready(folder: Path) -> bool:
        at_step = (folder / "runs/small/trials").glob(f"{trials}/checkpoints/step-{step:06d}")
        return any(not (path.parents[1] / "result.json").exists() for path in at_step)

    return ready


# After a kill -9, Ray's own agents try for 60 s, a constant of theirs, to report that their raylet is gone.
RAYS_AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")


def _remaining(before: set[str], patience_s: float, but: tuple[str, ...] = ()) -> list[str]:
    """Ray processes that a start left behind; after a kill the raylet needs a moment to notice."""
    deadline = time.monotonic() + patience_s
    while True:
        left = [line for line in ray_processes() if line not in before and not line.startswith(but)]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.2)
