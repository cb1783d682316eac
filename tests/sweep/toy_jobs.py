"""Job functions for the tests: what a trial does is told by its payload."""

import math
import os
import signal
import time
from pathlib import Path
from typing import Any

import psutil

from posttrain.sweep.protocol import Job, Link


def toy(job: Job, link: Link) -> dict[str, Any]:
    """Counts steps; `payload["acts"]` maps a trial id to what goes wrong in it."""
    folder = Path(job.payload["folder"])
    if job.kind == "prepare":
        (folder / "prepare").write_text(str(os.getpid()))
        return {"status": "completed", "baseline": 1.0}
    act = job.payload.get("acts", {}).get(job.id, "")
    _log(folder, job, link, "start")
    if act == "raise":
        raise ValueError(f"{job.id} is broken")
    if act == "silent":
        return {}
    if act == "gated":
        return {"status": "gated", "reason": "contrast 1.1 of 1.5"}
    return _steps(job, link, folder, act)


def _steps(job: Job, link: Link, folder: Path, act: str) -> dict[str, Any]:
    checkpoint = folder / f"{job.id}.step"
    first = int(checkpoint.read_text()) + 1 if checkpoint.exists() else 1
    x = float(job.payload["parameters"]["x"])
    for step in range(first, int(job.payload["steps"]) + 1):
        time.sleep(job.payload.get("step_s", 0.0))
        if link.should_stop():
            _log(folder, job, link, f"interrupted at {step}")
            return {"status": "interrupted"}
        if step == 3 and job.attempt == 0 and act in ("kill_worker", "kill_slot"):
            if link.rank == link.world_size - 1:
                os.kill(os.getpid() if act == "kill_worker" else _slot_pid(), signal.SIGKILL)
            time.sleep(60)
        if link.rank == 0:
            checkpoint.write_text(str(step))
        if step % 2 == 0:
            objective = math.nan if act == "nan" and step == 4 else (x - 0.3) ** 2 + 1 / step
            reason = link.report(step, {"objective": objective, "held_out/loss": x})
            _log(folder, job, link, f"report {step}")
            if reason:
                return {"status": "stopped", "reason": reason, "value": (x - 0.3) ** 2 + 1 / step}
    return {"status": "completed", "value": (x - 0.3) ** 2}


def _slot_pid() -> int:
    """The process of the only slot under this worker's raylet."""
    siblings = psutil.Process(os.getppid()).children()
    titles = {process.pid: " ".join(process.cmdline()) for process in siblings}
    (pid,) = [pid for pid, title in titles.items() if "Slot" in title or "ResourceTrainable" in title]
    return pid


def _log(folder: Path, job: Job, link: Link, what: str) -> None:
    line = f"{job.id} {job.attempt} rank {link.rank}/{link.world_size} pid {os.getpid()} {what}\n"
    with (folder / "log").open("a") as file:
        file.write(line)
