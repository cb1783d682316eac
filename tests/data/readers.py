"""Functions that worker processes of the tests can import."""

import os
import signal
import time


def square_here(number: int, parent: int) -> tuple[int, bool]:
    """The square, and whether another process than `parent` made it."""
    return number * number, os.getpid() != parent


def square_or_die(number: int, parent: int) -> int:
    """The square; the process that gets 40 is killed, unless it is `parent`."""
    if number == 40 and os.getpid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def sleep(_: int) -> None:
    """Takes long."""
    time.sleep(0.2)
