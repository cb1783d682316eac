"""What a sweep shows while it runs: one live table on a terminal, plain lines elsewhere.

The table is read from the run directory, as `posttrain status` reads it; the workers' notes only add what is not on
disk: which trial is at its gate, steps per second, encoding progress.
"""

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from posttrain.cli.progress import clock
from posttrain.paths import RunPaths
from posttrain.reports.table import plain_line, trial_table
from posttrain.reports.trials import SweepView, read_sweep

_REFRESH_S = 0.5
_TABLE_MARGIN = 12  # lines for title, legend and the line below the table
_LINES_EVERY_S = 10.0  # how often plain output says that encoding goes on


class LiveDisplay:
    """Shows a sweep; a context manager around the whole of it."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._live: Live | None = None
        self._run: RunPaths | None = None
        self._line = ""
        self._speeds: dict[str, float] = {}
        self._began = time.monotonic()
        self._shown = 0.0

    def __enter__(self) -> "LiveDisplay":
        if self.console.is_terminal:
            self._live = Live(Text(""), console=self.console, auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def watch(self, run: RunPaths) -> None:
        """Begins to show a run directory."""
        self._run = run

    def note(self, text: str) -> None:
        """A line that stays."""
        self.console.print(Text(text), highlight=False, soft_wrap=True)

    def trial(self, trial_id: str, status: str) -> None:
        """A trial changed; plain output prints it when it ended."""
        self._speeds.pop(trial_id, None)
        self._line = ""
        if self._live is None and self._run is not None and status not in {"running", "retrying", "interrupted"}:
            view = read_sweep(self._run)
            for row in view.rows:
                if row.id == trial_id:
                    self.note(plain_line(view, row))
        self.refresh(force=True)

    def progress(self, trial_id: str, event: Mapping[str, Any]) -> None:
        """A note from a worker."""
        if "train/steps_per_second" in event:
            self._speeds[trial_id] = float(event["train/steps_per_second"])
        if "doing" in event:
            self._passing(
                f"{event['doing']}: {event['done']} of {event['total']}", last=event["done"] == event["total"]
            )
        if "text" in event:
            self._passing(str(event["text"]), last=True)
        if "gate" in event:
            verdict = "passed" if event["passed"] else f"gated: {event['reason']}"
            self.note(f"gate, {event['gate']}: {verdict}")
        self.refresh()

    def refresh(self, force: bool = False) -> None:
        """Draws the table again, not more often than the eye follows."""
        if self._live is None or (not force and time.monotonic() - self._shown < _REFRESH_S):
            return
        self._shown = time.monotonic()
        height = max(4, self.console.height - _TABLE_MARGIN)
        view = read_sweep(self._run) if self._run is not None and self._run.trials.is_dir() else None
        parts: list[Any] = [Text(self._status_line(view), style="dim")]
        if view is not None:
            parts.insert(0, trial_table(view, self.console.width, limit=height))
        self._live.update(Group(*parts), refresh=True)

    def _passing(self, text: str, *, last: bool) -> None:
        self._line = text
        if self._live is None and (last or time.monotonic() - self._shown > _LINES_EVERY_S):
            self._shown = time.monotonic()
            self.note(text)

    def _status_line(self, view: SweepView | None) -> str:
        elapsed = time.monotonic() - self._began
        parts = [f"{clock(elapsed)} elapsed"]
        if self._speeds:
            parts.append(f"{sum(self._speeds.values()):.1f} steps/s over {len(self._speeds)} trials")
            left = None if view is None else seconds_left(view, elapsed)
            parts += [f"about {clock(left)} left"] if left is not None else []
        elif self._line:
            parts.append(self._line)
        return " | ".join(parts)


def seconds_left(view: SweepView, elapsed: float) -> float | None:
    """Time left if the remaining trials take what the ended ones took on average; None before the first has ended."""
    ended = sum(1 for row in view.trials if row.status not in {"running", "interrupted"})
    if not ended or view.planned is None:
        return None
    return elapsed / ended * (view.planned - ended)
