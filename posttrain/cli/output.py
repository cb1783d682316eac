"""Standard streams that outlive their reader: a sweep of GPU-hours must not die because a pager was closed."""

import errno
import os
import sys
from typing import Any, TextIO

# The reader of a pipe has gone; the terminal has gone.
_GONE = (errno.EPIPE, errno.EIO)


def keep_going_without_output() -> None:
    """Makes what is written to a standard output or error that nobody reads any more vanish, from here on.

    A stream that was closed from the start is replaced by the null device, so that no file of ours gets its number.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    sys.stdout = _lasting(sys.stdout)
    sys.stderr = _lasting(sys.stderr)


def _lasting(stream: TextIO | None) -> Any:
    return LastingStream(open(os.devnull, "w", encoding="utf-8") if stream is None else stream)  # noqa: PTH123


class LastingStream:
    """A text stream that goes over to the null device when its reader has gone."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._give_up(error)
            return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._give_up(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _give_up(self, error: OSError) -> None:
        """What is buffered, and all that follows, goes to the null device: also at the interpreter's end."""
        if error.errno not in _GONE:
            raise error
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self._stream.fileno())
        os.close(null)
