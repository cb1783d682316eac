"""How far the reading of data is: bars with speed and time left on a terminal, a line now and then elsewhere."""

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

_LINES_EVERY_S = 10.0


class ReadingProgress:
    """Shows what it is called with: what is read, how many are done, how many there are.

    A context manager; what it shows goes to standard error, so that standard output stays a document.
    """

    def __init__(self, console: "Console | None" = None) -> None:
        from rich.console import Console

        self._console = console or Console(stderr=True)
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._begun: dict[str, tuple[float, int]] = {}  # when, and how many were known already
        self._last_line_s = time.monotonic()

    def __enter__(self) -> "ReadingProgress":
        if self._console.is_terminal:
            self._bars = _bars(self._console)
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def __call__(self, what: str, done: int, total: int) -> None:
        if self._bars is not None:
            if what not in self._tasks:
                # what is known from earlier says nothing about the speed
                self._tasks[what] = self._bars.add_task(what, total=total, completed=done)
            self._bars.update(self._tasks[what], completed=done, total=total)
            return
        began_s, known = self._begun.setdefault(what, (time.monotonic(), done))
        now_s = time.monotonic()
        late = now_s - self._last_line_s > _LINES_EVERY_S
        if late or (done == total and now_s - began_s > _LINES_EVERY_S):
            self._last_line_s = now_s
            self._console.print(
                reading_line(what, done, total, done - known, now_s - began_s), markup=False, highlight=False
            )


def reading_line(what: str, done: int, total: int, read: int, seconds: float) -> str:
    """One line of plain progress: `read` of the `done` were read in `seconds`, the others were known before."""
    line = f"{what}: {done} of {total}"
    if done == total:
        return f"{line} after {clock(seconds)}"
    if read and seconds > 0:
        speed = read / seconds
        line += f", {speed:.3g}/s, about {clock((total - done) / speed)} left"
    return line


def clock(seconds: float) -> str:
    """Minutes and seconds, with hours where there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _bars(console: "Console") -> "Progress":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
        transient=True,
    )
