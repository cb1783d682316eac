"""The README as a newcomer follows it: its files are written and its commands run, in order, in an empty folder.

A fenced block after a line such as `` `warehouse.yaml`: `` is that file. Every line of a `sh` block is run as it stands
but for those in `ELSEWHERE`, and the few that start servers.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"(?:^`(?P<path>[\w./-]+)`:\n\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)

ELSEWHERE = {
    "pip install .": "`make install` is pip's install of this checkout",
    "make quickstart": "tests/main_job runs its sweep",
    "make test": "runs this test",
    "ray stop": "would end every Ray of this machine: the test ends its own",
}
# What each sweep of the README adds here: enough for a winner.
SHORT = ["search.trials=2", "training.steps=20"]


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, its text, and the file it is, if the README says so."""

    kind: str
    text: str
    path: str | None

    @property
    def commands(self) -> list[str]:
        """The lines of a `sh` block without their comments."""
        lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in self.text.splitlines())
        return [line for line in lines if line]


def blocks(text: str) -> list[Block]:
    return [Block(match["kind"], match["text"], match["path"]) for match in BLOCK.finditer(text)]


def commands() -> list[str]:
    return [command for block in blocks(README) if block.kind == "sh" for command in block.commands]


def test_what_is_run_elsewhere_is_still_in_the_readme() -> None:
    assert set(ELSEWHERE) <= set(commands())


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_following_the_readme(tmp_path: Path, cache: Path) -> None:
    newcomer = Newcomer(tmp_path)
    for block in blocks(README):
        if block.path is not None:
            newcomer.write(block.path, block.text)
        if block.kind == "sh":
            for command in block.commands:
                newcomer.run(command)
    assert newcomer.cluster is None, "the README stops the cluster that it starts"
    for block in blocks(RESULTS):
        if block.kind == "python":
            newcomer.execute([sys.executable, "-c", block.text])


class Newcomer:
    """Someone at a shell in an empty folder, with this environment's commands on the path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cluster: Cluster | None = None
        commands_of = Path(sys.executable).parent
        self.environment = {**os.environ, "PATH": f"{commands_of}{os.pathsep}{os.environ['PATH']}"}

    def write(self, path: str, text: str) -> None:
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text, encoding="utf-8")

    def run(self, command: str) -> None:
        """Runs one line of the README."""
        words = command.split()
        if words[0] == "export":
            name, _, value = words[1].partition("=")
            self.environment[name] = value
        elif words[0] == "tensorboard":
            self._look_at_tensorboard(words)
        elif words[:2] == ["ray", "start"]:
            self.cluster = self.cluster or Cluster(self.folder, self.environment)
            self.cluster.start(words)
        elif command == "ray stop":
            assert self.cluster is not None
            self.cluster.stop()
            self.cluster = None
        elif self.cluster is not None:
            # as from another shell, where nothing says that the cluster has a token
            self.environment.pop("RAY_AUTH_MODE", None)
            self.execute([*self.cluster.here(words), *SHORT, "--runs", "on-cluster"])
        elif words[:2] == ["posttrain", "sweep"]:
            self.execute([*words, *SHORT, "resources.slots=1"])
        elif command not in ELSEWHERE:
            self.execute(words)

    def execute(self, words: list[str]) -> None:
        done = subprocess.run(
            words, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, f"{' '.join(words)}\n{done.stderr}"

    def _look_at_tensorboard(self, words: list[str]) -> None:
        port = free_port()
        with started([*words, "--port", str(port)], self.folder, self.environment):
            page = fetched(f"http://127.0.0.1:{port}/data/plugin/scalars/tags")
        assert b"t0001" in page


class Cluster:
    """The README's Ray cluster on this machine: each `ray start` is a node in a process group of its own."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.port = free_port()
        # sockets lie in it, whose paths may have 107 characters
        self._ray = tempfile.TemporaryDirectory(prefix="ray")
        self.environment = {**environment, "RAY_TMPDIR": self._ray.name}
        self._nodes: list[subprocess.Popen[bytes]] = []

    def here(self, words: list[str]) -> list[str]:
        """The same words with this machine and a free port in place of the README's."""
        return [word.replace("FIRST_NODE", "127.0.0.1").replace("6379", str(self.port)) for word in words]

    def start(self, words: list[str]) -> None:
        command = [*self.here(words), "--num-cpus", "1", "--block", "--include-dashboard", "false"]
        self._nodes.append(
            subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environment,
                start_new_session=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
        deadline = time.monotonic() + 60
        while not listens(self.port) and time.monotonic() < deadline:
            time.sleep(0.2)

    def stop(self) -> None:
        for node in reversed(self._nodes):
            processes = psutil.Process(node.pid).children(recursive=True)
            os.killpg(node.pid, signal.SIGTERM)
            # Ray's agents would try for a minute to report that their node is gone
            for process in psutil.wait_procs(processes, timeout=5)[1]:
                process.kill()
            node.wait(timeout=60)
        self._ray.cleanup()


@contextmanager
def started(command: list[str], folder: Path, environment: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


def fetched(url: str) -> bytes:
    """The page, once its server answers with a trial in it."""
    deadline = time.monotonic() + 90
    page = b""
    while b"t0001" not in page and time.monotonic() < deadline:
        time.sleep(0.5)
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                page = answer.read()
        except OSError:
            continue
    return page


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
