"""Ctrl-C and SIGTERM while trials run: an orderly stop first, an immediate one when asked again."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Interrupt:
    """Ctrl-C and SIGTERM: the first asks for an orderly stop, the second ends at once."""

    def __init__(self) -> None:
        self.asked = False
        self.sent = False
        self._before: dict[int, Any] = {}

    def install(self) -> None:
        """Takes over the signals; may be called again after another library has taken them."""
        if threading.current_thread() is not threading.main_thread():
            return  # a notebook's or a test's thread: signals are the owner's business
        for number in (signal.SIGINT, signal.SIGTERM):
            before = signal.signal(number, self._handle)
            self._before.setdefault(number, before)

    def restore(self) -> None:
        """Puts the earlier handlers back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: Any) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


@contextmanager
def interrupts() -> Iterator[Interrupt]:
    """Handles both signals for the length of the block; the earlier handlers are put back."""
    interrupt = Interrupt()
    interrupt.install()
    try:
        yield interrupt
    finally:
        interrupt.restore()
