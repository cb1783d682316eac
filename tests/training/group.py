"""Two gloo workers that run trials one after the other."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PATIENCE_S = 500  # of a busy machine; a minute on an idle one


def order(
    name: str, changes: Mapping[str, Any], interrupt_at: int | None = None, *, float64: bool = True, kind: str = "sft"
) -> dict[str, Any]:
    """A trial for the workers; one with the name of an earlier one goes on with it.

    Args:
        kind: of a vision-language model: `sft` or `rl`.
    """
    return {"name": name, "changes": dict(changes), "interrupt_at": interrupt_at, "float64": float64, "kind": kind}


def run_group(orders: Sequence[Mapping[str, Any]], folder: Path, script: str = "run_trials") -> None:
    """Has two workers carry out the orders below `folder`; what they print lies there as `output-<rank>.txt`."""
    (folder / "orders.json").write_text(json.dumps(list(orders)))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", f"tests.training.{script}", str(folder / "orders.json"), str(folder)]
    shared = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    workers = []
    for rank in range(2):
        environment = {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}
        with (folder / f"output-{rank}.txt").open("w") as output:
            workers.append(
                subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)
            )
    try:
        codes = [worker.wait(timeout=PATIENCE_S) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    assert codes == [0, 0], "\n".join(path.read_text() for path in folder.glob("output-*.txt"))
