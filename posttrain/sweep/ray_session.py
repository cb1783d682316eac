"""Connects to Ray, quietly: an embedded local Ray, or the cluster at an address.

Ray, Tune and Train print nothing of their own; a Ray that was running in this process before (a notebook, a test)
is used as it is and left running.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from posttrain.errors import EnvironmentFault

# Read by Ray when it is imported or started: the session sets them before both.
_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.25",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "1000000",
    "TUNE_WARN_THRESHOLD_S": "1000000",
    # Ray's default is 15: beside any other busy process, workers would get a thirtieth of a core
    "RAY_worker_niceness": "0",
}

OBJECT_STORE_BYTES = 128 * 1024 * 1024
"""An embedded Ray's object store: jobs and reports are kilobytes, data goes through files."""


KNOCK_S = 10.0
"""How long a cluster's head may take to accept a connection."""

ASK_S = 30.0
"""How long it may take to start a Python that asks the head whether it wants a token."""


_ASK = "import sys; from ray._raylet import GcsClient; GcsClient(address=sys.argv[1])"


def quiet_environment() -> None:
    """Set what Ray reads from the environment; a value that the user has set wins."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)


@contextmanager
def _token_where_asked(address: str | None) -> Iterator[None]:
    """Makes Ray send this user's token while it talks to a cluster that asks for one.

    `ray.init` of Ray 2.60 sends none to an explicit address, unless RAY_AUTH_MODE says so. To set that for every
    cluster would not do: one without tokens cannot reach a driver that wants them, and ends its actors before they run.
    """
    if address is None or "RAY_AUTH_MODE" in os.environ or not _asks_for_token(address):
        yield
        return
    from ray._raylet import Config  # type: ignore[attr-defined]  # compiled

    os.environ["RAY_AUTH_MODE"] = "token"
    Config.initialize("")  # reads the environment again
    try:
        yield
    finally:
        del os.environ["RAY_AUTH_MODE"]
        Config.initialize("")


def _asks_for_token(address: str) -> bool:
    """Asks in a process of its own: what Ray keeps of a refusal, and prints of it, ends with that process."""
    if _host_and_port(address) is None or address.startswith("ray://"):
        return False
    try:
        asked = subprocess.run(
            [sys.executable, "-c", _ASK, address], capture_output=True, text=True, timeout=ASK_S, check=False
        )
    except subprocess.TimeoutExpired:
        return False  # ray.init says why
    return "AuthenticationError" in asked.stderr


@contextmanager
def ray_session(address: str | None = None, num_cpus: int | None = None) -> Iterator[bool]:
    """Ray for the duration of a `with` block, and whether it outlives the block.

    Raises EnvironmentFault where Ray cannot start or be reached.
    """
    quiet_environment()
    import ray

    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # a trial's failure is told by us
    if ray.is_initialized():
        yield True
        return
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "include_dashboard": False}
    if address:
        options = {"address": address, "log_to_driver": False, "logging_level": "ERROR"}
    else:
        options |= {"num_cpus": num_cpus, "object_store_memory": OBJECT_STORE_BYTES, "address": "local"}
    with ExitStack() as stack:
        try:
            if address:
                _knock(address)
            stack.enter_context(_token_where_asked(address))
            ray.init(**options)
        except Exception as error:
            where = f"the Ray cluster at {address}" if address else "a local Ray"
            remedy = "check free memory, disk and /dev/shm"
            if address:
                remedy = "check the address, that the cluster runs, and that this node has its token (RAY_AUTH_MODE)"
            raise EnvironmentFault(f"{where} cannot be used: {str(error).rstrip('.')}; {remedy}") from error
        stack.callback(ray.shutdown)
        stack.enter_context(_no_raylet_notices())
        yield address is not None


def _knock(address: str) -> None:
    """Raises OSError where nobody listens at host:port: Ray itself would try for minutes without a word."""
    place = _host_and_port(address)
    if place is not None:
        socket.create_connection(place, KNOCK_S).close()


def _host_and_port(address: str) -> tuple[str, int] | None:
    """What a connection is made to; None for words such as `auto`."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    return (host.strip("[]"), int(port)) if colon and port.isdigit() else None


@contextmanager
def _no_raylet_notices() -> Iterator[None]:
    """Ray prints its nodes' notices past every logger; they stay in Ray's own log files."""
    from ray._private import worker

    printer = worker.print_to_stdstream
    worker.print_to_stdstream = lambda *arguments, **options: None
    try:
        yield
    finally:
        worker.print_to_stdstream = printer


def living_nodes() -> list[Mapping[str, float]]:
    """The resources of the nodes that are alive."""
    import ray

    return [dict(node["Resources"]) for node in ray.nodes() if node["Alive"]]
