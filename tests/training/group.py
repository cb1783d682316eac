"""Two gloo workers that run trials one after the other.

Usage: group.py SCRIPT ORDERS.json FOLDER. Both workers are forks of one process, which has imported everything.
"""

import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
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
    environment = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    command = [sys.executable, "-m", __name__, script, str(folder / "orders.json"), str(folder)]
    with (folder / "output.txt").open("w") as output:
        workers = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        code = workers.wait(timeout=PATIENCE_S)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(workers.pid, signal.SIGKILL)
        workers.wait()
    assert code == 0, "\n".join(path.read_text() for path in sorted(folder.glob("output*.txt")))


def _work(rank: int, script: str, orders: Path, folder: Path) -> None:
    """What one of the forks does, to its end."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    with (folder / f"output-{rank}.txt").open("w") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    code = 1
    try:
        importlib.import_module(f"tests.training.{script}").main(orders, folder)
        code = 0
    except Exception:  # noqa: BLE001 - the end of this process, whatever it is
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # a thread that some library left behind now and then aborts the interpreter's own way out


def _launch(script: str, orders: Path, folder: Path) -> bool:
    """Whether both workers carried their orders out."""
    importlib.import_module(f"tests.training.{script}")
    gc.collect()
    gc.freeze()  # see `pytest_collection_finish`
    workers = []
    for rank in range(2):
        workers.append(os.fork())
        if not workers[-1]:
            _work(rank, script, orders, folder)
    return [os.waitpid(worker, 0)[1] for worker in workers] == [0, 0]


if __name__ == "__main__":
    sys.exit(not _launch(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])))
