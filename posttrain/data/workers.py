"""Many files read at once, on all cores.

Decoding large videos leaves Python's lock alone, so threads read a few files as fast as processes would, and start at
once. What is measured of thousands of small clips is mostly Python, where threads take turns: those are read by
processes, which start afresh (a fork would copy the locks of torch's and Ray's threads) and end with this process
however it ends.
"""

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any, TypeVar

_LOG = logging.getLogger(__name__)
_Result = TypeVar("_Result")

# From here on starting processes (about a second of each core) is repaid.
_MANY_FILES = 1000
_CHUNK = 16
_MAX_THREADS = 8


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def read_files(judge: Callable[..., _Result], tasks: Sequence[tuple[Any, ...]]) -> Generator[_Result]:
    """`judge(*task)` of each task in their order; when the iterator is closed, what was not begun is given up.

    Args:
        judge, tasks: can be pickled; one task is one file to read.
    """
    cores, done = num_cores(), 0
    if len(tasks) >= _MANY_FILES and cores > 1:
        pool = ProcessPoolExecutor(cores, multiprocessing.get_context("spawn"), _begin)
        try:
            for result in _in_order(pool, judge, tasks, _CHUNK):
                yield result
                done += 1
        except BrokenProcessPool:
            # a process was killed, or cannot start as in a script without a main guard: this one reads the rest
            _LOG.warning("a process that read files is gone; going on with threads")
    yield from _in_order(ThreadPoolExecutor(min(_MAX_THREADS, cores)), judge, tasks[done:], 1)


def _in_order(
    pool: Executor, judge: Callable[..., _Result], tasks: Sequence[tuple[Any, ...]], chunk: int
) -> Generator[_Result]:
    try:
        yield from pool.map(partial(_call, judge), tasks, chunksize=chunk)
    finally:
        pool.shutdown(cancel_futures=True)


def _call(judge: Callable[..., _Result], task: tuple[Any, ...]) -> _Result:
    return judge(*task)


def _begin() -> None:
    """In a new process: Ctrl-C is the parent's to handle, and the parent's end is the end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
