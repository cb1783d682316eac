"""Two gloo workers that run trials one after the other."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
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


def environment_of(num_workers: int) -> list[dict[str, str]]:
    """What the environment of each rank holds besides."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(num_workers)}
    return [{**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(num_workers)]


def run_forked(orders: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Has `run_trials` carry out the orders below `folder`; it imports torch once for all of its workers."""
    with (folder / "output.txt").open("w") as output:
        process = subprocess.Popen(
            _command("run_trials", orders, folder),
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        code = process.wait(timeout=PATIENCE_S)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert code == 0, _printed(folder)


def run_group(orders: Sequence[Mapping[str, Any]], folder: Path, script: str) -> None:
    """Has two workers carry out the orders below `folder`; what they print lies there as `output-<rank>.txt`."""
    command = _command(script, orders, folder)
    workers = []
    for rank, environment in enumerate(environment_of(2)):
        with (folder / f"output-{rank}.txt").open("w") as output:
            workers.append(
                subprocess.Popen(
                    command, cwd=ROOT, env={**os.environ, **environment}, stdout=output, stderr=subprocess.STDOUT
                )
            )
    try:
        codes = [worker.wait(timeout=PATIENCE_S) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    assert codes == [0, 0], _printed(folder)


def _command(script: str, orders: Sequence[Mapping[str, Any]], folder: Path) -> list[str]:
    (folder / "orders.json").write_text(json.dumps(list(orders)))
    return [sys.executable, "-m", f"tests.training.{script}", str(folder / "orders.json"), str(folder)]


def _printed(folder: Path) -> str:
    return "\n".join(path.read_text() for path in sorted(folder.glob("output*.txt")))
