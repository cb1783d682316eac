"""Progress of long work: a line or bars that tick on a terminal, and a line at least every 15 s elsewhere.

    Heartbeat         a thread that calls a function again and again
    Doing             one activity: its text, its count, and since when it goes on
    TickingLine       shows one activity after the other: `overfit`, and any command that works in this process
    ReadingProgress   shows how far the reading of data is

A sweep has a display of its own, see `posttrain.cli.display`.
"""

import dataclasses
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

LINES_EVERY_S = 14.0  # and up to a second until the next tick: at most 15 s without a line
TICK_S = 1.0


def clock(seconds: float) -> str:
    """Minutes and seconds, with hours where there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


@dataclass(frozen=True)
class Doing:
    """An activity that began at `began` on the monotonic clock, `done` of `total` so far where it is counted."""

    text: str
    began: float
    done: int | None = None
    total: int | None = None
    unit: str = ""

    def since(self, before: "Doing | None") -> "Doing":
        """Returns this with the beginning of `before`, where that is the same activity."""
        return self if before is None or before.text != self.text else dataclasses.replace(self, began=before.began)

    def line(self, now: float) -> str:
        """Returns `encoding clips, 12 of 96, 0:07`, or with a unit `gate, step 20 of 80, 0:07`."""
        count = "" if self.done is None else f", {self.unit} {self.done} of {self.total}".replace(",  ", ", ")
        return f"{self.text}{count}, {clock(now - self.began)}"


def open_console(*, stderr: bool = False) -> "Console":
    """Returns a console that animates nothing in a CI job or where the output is no terminal, colours forced or not."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    still = stream is None or not stream.isatty() or bool(os.environ.get("CI"))
    return Console(stderr=stderr, force_interactive=False if still else None)


class Heartbeat:
    """Calls `beat` every `every_s` seconds from a thread of its own while the `with` block runs."""

    def __init__(self, beat: Callable[[], None], every_s: float = TICK_S) -> None:
        self._beat = beat
        self._every_s = every_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._every_s):
            self._beat()


def ticking(console: "Console", draw: Callable[[], Any], beat: Callable[[], None]) -> Any:
    """Returns a context manager that shows `draw()` anew every second on a terminal, and calls `beat` elsewhere."""
    if not console.is_interactive:
        return Heartbeat(beat, TICK_S)
    from rich.live import Live

    return Live(console=console, get_renderable=draw, refresh_per_second=1 / TICK_S, transient=True)


class TickingLine:
    """Shows what a command is doing, with the seconds that it has gone on; a context manager.

    On a terminal it is one line that ticks. Elsewhere a line is printed when an activity begins, and every 15 s while
    it goes on. Call it with a text, and with a count where there is one; it may be called from any thread.
    """

    def __init__(self, console: "Console") -> None:
        self._console = console
        self._lock = threading.Lock()
        self._doing: Doing | None = None
        self._printed = time.monotonic()
        self._shown: Any = None

    def __enter__(self) -> "TickingLine":
        self._shown = ticking(self._console, self._text, self._beat)
        self._shown.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._shown.__exit__(None, None, None)

    def __call__(self, text: str, done: int | None = None, total: int | None = None, unit: str = "") -> None:
        with self._lock:
            is_new = self._doing is None or self._doing.text != text
            self._doing = Doing(text, time.monotonic(), done, total, unit).since(self._doing)
        if not is_new:
            return
        if self._console.is_interactive:
            self._shown.refresh()
        else:
            self._print(text)

    def note(self, text: str) -> None:
        """Prints a line that stays."""
        self._print(text)

    def _text(self) -> Any:
        from rich.text import Text

        doing = self._doing
        return Text("" if doing is None else doing.line(time.monotonic()), style="dim")

    def _beat(self) -> None:
        doing, now = self._doing, time.monotonic()
        if doing is not None and now - self._printed > LINES_EVERY_S:
            self._print(doing.line(now))

    def _print(self, text: str) -> None:
        self._printed = time.monotonic()
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class ReadingProgress:
    """Shows what it is called with: what is read, how many are done, how many there are.

    A context manager; what it shows goes to standard error, so that standard output stays a document. Until the first
    call it says `opening`: what happens before anything is read.
    """

    def __init__(self, console: "Console | None" = None, opening: str = "opening the checkpoint and the data") -> None:
        self._console = console or open_console(stderr=True)
        self._opening = opening
        self._bars: Progress | None = None
        self._heartbeat = Heartbeat(self._beat, TICK_S)
        self._tasks: dict[str, TaskID] = {}
        self._begun: dict[str, tuple[float, int]] = {}  # when, and how many were known already
        self._now: tuple[str, int, int] | None = None
        self._last_line_s = self._entered_s = time.monotonic()

    def __enter__(self) -> "ReadingProgress":
        self._last_line_s = self._entered_s = time.monotonic()
        if self._console.is_interactive:
            self._bars = _bars(self._console)
            self._tasks[self._opening] = self._bars.add_task(self._opening, total=None)
            self._bars.start()
        else:
            self._heartbeat.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
        else:
            self._heartbeat.__exit__()

    def __call__(self, what: str, done: int, total: int) -> None:
        if self._bars is not None:
            if self._opening in self._tasks:
                self._bars.remove_task(self._tasks.pop(self._opening))
            if what not in self._tasks:
                # what is known from earlier says nothing about the speed
                self._tasks[what] = self._bars.add_task(what, total=total, completed=done)
            self._bars.update(self._tasks[what], completed=done, total=total)
            return
        began_s, _ = self._begun.setdefault(what, (time.monotonic(), done))
        self._now = (what, done, total)
        if done == total:
            if time.monotonic() - began_s > LINES_EVERY_S:
                self._print_line()
            self._now, self._opening, self._entered_s = None, "going through what was read", time.monotonic()

    def _beat(self) -> None:
        if time.monotonic() - self._last_line_s > LINES_EVERY_S:
            self._print_line()

    def _print_line(self) -> None:
        self._last_line_s = now_s = time.monotonic()
        now = self._now  # the other thread may replace it
        if now is None:
            line = f"{self._opening}, {clock(now_s - self._entered_s)}"
        else:
            what, done, total = now
            began_s, known = self._begun[what]
            line = reading_line(what, done, total, done - known, now_s - began_s)
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def reading_line(what: str, done: int, total: int, read: int, seconds: float) -> str:
    """One line of plain progress: `read` of the `done` were read in `seconds`, the others were known before."""
    line = f"{what}: {done} of {total}"
    if done == total:
        return f"{line} after {clock(seconds)}"
    if read and seconds > 0:
        speed = read / seconds
        line += f", {speed:.3g}/s, about {clock((total - done) / speed)} left"
    return line


def _bars(console: "Console") -> "Progress":
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
    )
