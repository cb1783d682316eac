"""Why trials were stopped, gated or failed: each reason once, for all trials that it applies to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from posttrain.reports.trials import TrialRow

_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e[+-]?\d+)?")
_MOST_ID_COLUMNS = 26


@dataclass(frozen=True)
class SharedReason:
    """A reason and its trials. Where `varies`, the others differ from the first one in their numbers."""

    text: str
    trials: tuple[str, ...]
    varies: bool

    @property
    def sentence(self) -> str:
        """Return the text, with whose numbers it gives."""
        return f"{self.text} (numbers of {self.trials[0]})" if self.varies else self.text


@dataclass
class Printed:
    """Which reasons an output has printed already, and for which trial first."""

    trials: dict[str, str] = field(default_factory=dict)

    def once(self, trial_id: str, reason: str) -> str:
        """Return what to print: the reason, `same reason as t0003`, or nothing (no reason, or printed already)."""
        if not reason:
            return ""
        first = self.trials.get(reason)
        if first is None:
            self.trials[reason] = trial_id
            return reason
        return "" if first == trial_id else f"same reason as {first}"


def shared(rows: Iterable[TrialRow]) -> list[SharedReason]:
    """Return the reasons in the order of their first trials; equal ones, and equal ones but for numbers, once."""
    groups: dict[str, list[TrialRow]] = {}
    for row in rows:
        if row.reason.strip() and not row.is_baseline:
            groups.setdefault(_NUMBER.sub("#", row.reason.strip()), []).append(row)
    return [
        SharedReason(
            group[0].reason.strip(),
            tuple(row.id for row in group),
            varies=len({row.reason.strip() for row in group}) > 1,
        )
        for group in groups.values()
    ]


def block(rows: Sequence[TrialRow], width: int, lines: int | None = None) -> list[RenderableType]:
    """Return the reasons as a list below a table, wrapped to `width` columns; nothing where there are none.

    With `lines`, as many of those of the newest trials as fit, and a line that says how many do not.
    """
    groups = shared(rows)
    kept = groups if lines is None else _newest(groups, width, lines)
    if not kept:
        return [Text(f"{len(groups)} reasons not shown: `posttrain status` has them", "dim")] if groups else []
    more = len(groups) - len(kept)
    note = [Text(f"{more} more reasons not shown: `posttrain status` has them", "dim")] if more else []
    return [Text(""), _grid(kept), *note]


def _newest(groups: list[SharedReason], width: int, lines: int) -> list[SharedReason]:
    """Return the groups with the newest trials whose wrapped text fits, in their own order."""
    room = lines - 2  # the line above, and the one that says what is left out
    fitting: set[SharedReason] = set()
    for group in sorted(groups, key=lambda group: group.trials[-1], reverse=True):
        room -= _height(group, width)
        if room < 0:
            break
        fitting.add(group)
    return [group for group in groups if group in fitting]


def _height(group: SharedReason, width: int) -> int:
    console = Console(width=width, color_system=None)
    return len(console.render_lines(_grid([group]), console.options, pad=False))


def _grid(groups: Sequence[SharedReason]) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(max_width=_MOST_ID_COLUMNS)
    grid.add_column(overflow="fold")
    for group in groups:
        grid.add_row(Text(_listed(group.trials)), Text(group.sentence, "dim"))
    return grid


def _listed(trials: Sequence[str]) -> str:
    """Return `t0003, t0005-t0009`."""
    runs: list[list[str]] = []
    for trial in trials:
        if runs and _number(trial) == _number(runs[-1][-1]) + 1:
            runs[-1].append(trial)
        else:
            runs.append([trial])
    shown = [f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(run) for run in runs]
    return ", ".join(shown)


def _number(trial_id: str) -> int:
    digits = trial_id.lstrip("t")
    return int(digits) if digits.isdigit() else -1
