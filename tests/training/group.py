"""Trials in two gloo workers, both forks of one process that has imported everything."""

import gc
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PATIENCE_S = 500  # of a busy machine; a minute on an idle one


def order(
    name: str,
    changes: Mapping[str, Any],
    interrupt_at: int | None = None,
    *,
    float64: bool = True,
    alone: bool = False,
    kind: str = "sft",
) -> dict[str, Any]:
    """A trial for the workers; one with the name of an earlier one goes on with it.

    Args:
        alone: it is the only trial of its process, in float32.
        kind: of a vision-language model: `sft` or `rl`.
    """
    called = {"name": name, "changes": dict(changes), "kind": kind}
    return {**called, "interrupt_at": interrupt_at, "float64": float64, "alone": alone}


def run_script(script: str, orders: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Has a script of this folder carry out the orders below `folder`."""
    (folder / "orders.json").write_text(json.dumps(list(orders)))
    command = [sys.executable, "-m", f"tests.training.{script}", str(folder / "orders.json"), str(folder)]
    with (folder / "output.txt").open("w") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        code = process.wait(timeout=PATIENCE_S)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert code == 0, "\n".join(path.read_text() for path in sorted(folder.glob("output*.txt")))


def in_group(work: Callable[[], None], folder: Path) -> None:
    """Does the work in two gloo workers; what they print lies in `output-<rank>.txt`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    in_processes([partial(_work_as, rank, port, work, folder) for rank in range(2)])


def in_processes(works: Sequence[Callable[[], None]]) -> None:
    """Forks a process for each work; if one fails, none of the others has to wait for it."""
    gc.freeze()
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=work, daemon=True) for work in works]
    for process in processes:
        process.start()
    while running := [process for process in processes if process.exitcode is None]:
        wait([process.sentinel for process in running])
        if any(process.exitcode for process in processes):
            sys.exit("a worker failed")


def _work_as(rank: int, port: int, work: Callable[[], None], folder: Path) -> None:
    import torch.distributed as dist

    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    with (folder / f"output-{rank}.txt").open("w") as output:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(output.fileno(), stream.fileno())
    dist.init_process_group("gloo")
    work()
    dist.destroy_process_group()
