"""Reading on all cores: in order, in processes where there are many files, whatever happens to a process."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from posttrain.data import workers
from tests.data import readers

SLEEPERS = """\
from posttrain.data import workers
from tests.data.readers import sleep
workers.num_cores = lambda: 2
if __name__ == "__main__":
    for _ in workers.read_files(sleep, [(index,) for index in range(1200)]):
        print("one", flush=True)
"""


@pytest.fixture(autouse=True)
def _two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "num_cores", lambda: 2)


@pytest.mark.parametrize(("count", "elsewhere"), [(40, False), (1200, True)])
def test_results_come_in_order_from_threads_or_processes(count: int, elsewhere: bool) -> None:
    tasks = [(number, os.getpid()) for number in range(count)]
    results = list(workers.read_files(readers.square_here, tasks))
    assert [square for square, _ in results] == [number**2 for number in range(count)]
    assert {other for _, other in results} == {elsewhere}


def test_a_process_that_is_killed_costs_nothing_but_time(caplog: pytest.LogCaptureFixture) -> None:
    tasks = [(number, os.getpid()) for number in range(1200)]
    assert list(workers.read_files(readers.square_or_die, tasks)) == [number**2 for number in range(1200)]
    assert "going on with threads" in caplog.text


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "sleepers.py"
    script.write_text(SLEEPERS)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen([sys.executable, script], env=environment, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        children = psutil.Process(parent.pid).children(recursive=True)
        assert len(children) >= 2
        parent.kill()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []


def test_what_was_not_begun_is_given_up() -> None:
    results = workers.read_files(readers.sleep, [(index,) for index in range(100)])
    next(results)
    began = time.monotonic()
    results.close()
    assert time.monotonic() - began < 5
