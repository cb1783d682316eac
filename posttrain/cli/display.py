"""What a sweep shows while it runs: one live table on a terminal, plain lines elsewhere.

The table is read from the run directory, as `posttrain status` reads it; notes of the driver and the workers add what
is not on disk: what goes on, at which step a trial's gate is, steps per second. On a terminal the table is drawn again
every second by a thread of rich; elsewhere a thread of ours prints a line wherever 15 s have passed without one.
"""

import contextlib
import platform
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from posttrain.cli.activity import SweepActivity
from posttrain.cli.progress import LINES_EVERY_S, ticking
from posttrain.errors import PosttrainError
from posttrain.reports.reasons import Printed
from posttrain.reports.table import plain_line, trial_table
from posttrain.reports.trials import SweepView, read_sweep

if TYPE_CHECKING:
    from rich.console import Console

    from posttrain.paths import RunPaths

_OTHER_LINES = 3  # of a terminal: the line below the table may wrap, and the prompt needs one
_SHARE_OF_TIME = 0.05  # of the driver's, for reading the run directory
_READING_DATA = "data"


class LiveDisplay:
    """Shows a sweep; a context manager around the whole of it."""

    def __init__(self, console: "Console") -> None:
        self.console = console
        self.printed = Printed()
        self._run: RunPaths | None = None
        self._lock = threading.RLock()  # held while nothing is printed: rich has locks of its own
        self._activity = SweepActivity(time.monotonic(), platform.node())
        self._view: SweepView | None = None
        self._read_again = 0.0
        self._line_s = time.monotonic()
        self._shown: Any = None

    def __enter__(self) -> "LiveDisplay":
        self._shown = ticking(self.console, self._table, self._beat)
        self._shown.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._shown.__exit__(None, None, None)

    def starting(self) -> None:
        """Says that the command has begun: its libraries alone may take a while to load."""
        self.progress(_READING_DATA, {"doing": "starting"})

    def watch(self, run: "RunPaths") -> None:
        """Begins to show a run directory."""
        self._run = run

    def note(self, text: str) -> None:
        """A line that stays."""
        from rich.text import Text

        self._line_s = time.monotonic()
        # a line stays whole where a program may read it, and is wrapped at words where a person does
        self.console.print(Text(text), highlight=False, soft_wrap=not self.console.is_terminal)

    def trial(self, trial_id: str, status: str) -> None:
        """A trial changed; plain output prints it when it ended."""
        with self._lock:
            self._activity.trial(trial_id, status, time.monotonic())
            self._read_again = 0.0
        if self.console.is_interactive:
            self._shown.refresh()
        elif status not in {"running", "retrying", "interrupted"}:
            self._print_trial(trial_id)

    def progress(self, job_id: str, note: Mapping[str, Any]) -> None:
        """A note of the driver or of a worker; see `posttrain.cli.activity`."""
        with self._lock:
            is_new = self._activity.hear(job_id, note, time.monotonic())
            of_preparation = not self._activity.is_running(job_id)
        if is_new and of_preparation and job_id != _READING_DATA:
            if self.console.is_interactive:
                self._shown.refresh()
            else:
                self.note(str(note["doing"]))
        if "text" in note:
            self.note(str(note["text"]))
        if "gate" in note:
            reason = self.printed.once(f"the gate, {note['gate']}", note["reason"] or "")
            self.note(f"gate, {note['gate']}: {'passed' if note['passed'] else f'gated: {reason}'}")

    def _print_trial(self, trial_id: str) -> None:
        view = self._read()
        if view is None:
            return
        for row in view.rows:
            if row.id == trial_id:
                self.note(plain_line(view, row, self.printed))

    def _read(self) -> SweepView | None:
        """The run directory as it is now, or was a moment ago; None before there is one."""
        with self._lock:
            now = time.monotonic()
            if self._run is None or now < self._read_again:
                return self._view
            with contextlib.suppress(PosttrainError, OSError):  # of a file that is being replaced: the last view stands
                self._view = read_sweep(self._run) if self._run.trials.is_dir() else None
            self._read_again = time.monotonic() + (time.monotonic() - now) / _SHARE_OF_TIME
            return self._view

    def _table(self) -> Any:
        from rich.console import Group
        from rich.text import Text

        with self._lock:
            view = self._read()
            line = Text(self._activity.line(view, time.monotonic()), style="dim")
            if view is None:
                return line
            view = self._activity.overlaid(view)
        return Group(trial_table(view, self.console.width, self.console.height - _OTHER_LINES), line)

    def _beat(self) -> None:
        if time.monotonic() - self._line_s > LINES_EVERY_S:
            with self._lock:
                line = self._activity.line(self._read(), time.monotonic(), with_trials=True)
            self.note(line)
