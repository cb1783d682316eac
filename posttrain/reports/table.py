"""The table of trials, for the live display and for `posttrain status`, and the same as plain lines.

What does not fit a narrow terminal is given up in this order: the difference from the baseline is shown in
percent alone, then the searched parameters leave from the right, and the legend names them. Reasons stand below the
table, wrapped and never cut, each once for all trials that it applies to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from posttrain.reports import numbers, reasons
from posttrain.reports.trials import SweepView, TrialRow

STYLES: Mapping[str, str] = {
    "baseline": "bold",
    "completed": "green",
    "running": "cyan",
    "gate": "cyan",
    "training": "cyan",
    "evaluating": "cyan",
    "starting": "cyan",
    "waiting": "dim",
    "stopped": "yellow",
    "gated": "magenta",
    "interrupted": "yellow",
    "failed": "bold red",
    "unreadable": "bold red",
}
COMPACT = 110
"""Below so many columns numbers are shortened."""
_GAP = 2
_FEWEST_ROWS = 4  # of a live display, however low the terminal is
_LINES_FOR_REASONS = 6  # of a live display, where there are more rows than fit


@dataclass(frozen=True)
class _Column:
    """One column: its heading and a styled cell for each row."""

    heading: str
    cells: list[Text]
    right: bool = True

    @property
    def width(self) -> int:
        """Return the columns of the terminal that the column needs."""
        lines = [*self.heading.split("\n"), *(cell.plain for cell in self.cells)]
        return max(map(len, lines)) + _GAP


def trial_table(view: SweepView, width: int, height: int | None = None) -> Group:
    """Return the table of a sweep's trials with a title above, legend and reasons below, ready to print or to keep
    live.

    width: columns of the terminal. height: lines that all of it may take (a live display must not scroll). Then the
    baseline, what is running, the best, and the newest rows are shown, and the legend says how many are left out; the
    reasons of the newest trials take the lines that remain.
    """
    rows = list(view.rows)
    if height is not None:
        rows = _choose(view, max(_FEWEST_ROWS, height - _num_other_lines(view, width) - _LINES_FOR_REASONS))
    columns, shown = _columns(view, rows, width)
    legend = Text("\n".join(_legend(view, shown, len(view.rows) - len(rows))), style="dim")
    room = None if height is None else height - _num_other_lines(view, width) - len(rows)
    why = reasons.block(rows, width, room)
    return Group(Text(title(view), style="bold"), _table(columns, width), legend, *why)


def _columns(view: SweepView, rows: list[TrialRow], width: int) -> tuple[list[_Column], dict[str, _Column]]:
    """Return all columns, and those of the searched parameters by path."""
    fixed = _fixed_columns(view, rows, compact=width < COMPACT)
    shown = _fitting(_parameter_columns(view, rows), width - sum(column.width for column in fixed))
    return [*fixed, *shown.values()], shown


def _num_other_lines(view: SweepView, width: int) -> int:
    """Return the lines of title, heading and legend, with one that says what is left out."""
    columns, shown = _columns(view, list(view.rows), width)
    heading = max(column.heading.count("\n") + 1 for column in columns)
    legend = [*_legend(view, shown, 0), "left out"]
    return 2 + heading + sum(-(-len(line) // width) for line in legend)


def plain_lines(view: SweepView, printed: reasons.Printed | None = None) -> Iterator[str]:
    """Yield the same as text for files and pipes: a line of the whole, then a line a trial, nothing cut.

    With `printed`, a reason that stands there already is referred to and not repeated.
    """
    yield f"{title(view)}; {view.metric}: {numbers.direction(view.mode)}"
    yield from (plain_line(view, row, printed) for row in view.rows)


def plain_line(view: SweepView, row: TrialRow, printed: reasons.Printed | None = None) -> str:
    """Return one trial as a line: `t0003  completed  step 60/60  held_out/loss 0.3120  lr=1e-4 ...`."""
    names = numbers.short_names(_parameter_paths(view))
    parts = [row.id, _status(row), f"step {_steps(view, row)}"]
    if row.value is not None:
        parts.append(f"{view.metric} {numbers.significant(row.value)}")
    delta = view.delta(row)
    if delta is not None:
        parts.append(f"vs base {numbers.difference(delta, _base(view))}")
    if view.best is row:
        parts.append("best")
    parts += [
        f"{names.get(path, path)}={numbers.parameter(value, named=True)}" for path, value in row.parameters.items()
    ]
    reason = _first_line(row.reason)
    if printed is not None:
        reason = printed.once(row.id, reason)
    if reason:
        parts.append(f"| {reason}")
    return "  ".join(parts)


def title(view: SweepView) -> str:
    """Return the sweep's state in one line: how many trials have ended, and how."""
    ended = sum(n for status, n in view.counts.items() if status not in ("running", "interrupted"))
    # fewer than were drawn: search.trials was lowered after they had run
    total = f" of {view.planned}" if view.planned and view.planned >= len(view.trials) else ""
    counts = ", ".join(f"{n} {status}" for status, n in view.counts.items())
    return f"{view.name}: {ended}{total} trials ended" + (f" ({counts})" if counts else "")


def _table(columns: list[_Column], width: int) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, _GAP - 1, 0, 0), pad_edge=False, show_edge=False)
    for column in columns:
        # rich would shrink every column alike; only the last ones are to give way
        cell_width = min(column.width, width) - _GAP
        width -= column.width
        table.add_column(
            column.heading, justify="right" if column.right else "left", no_wrap=True, width=max(cell_width, 1)
        )
    for cells in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*cells)
    return table


def _fixed_columns(view: SweepView, rows: list[TrialRow], compact: bool) -> list[_Column]:
    heading = f"{view.metric} {numbers.ARROWS[view.mode]}"
    deltas = [view.delta(row) for row in rows]
    best = [view.best is row for row in rows]
    return [
        _Column("trial", [_id_cell(row, first) for row, first in zip(rows, best, strict=True)], right=False),
        _Column("status", [Text(_status(row), STYLES.get(_status(row), "")) for row in rows], right=False),
        _Column("step", [Text(_steps(view, row)) for row in rows]),
        _Column(
            heading.replace("/", "/\n") if compact else heading,
            [
                Text(numbers.significant(row.value), "bold" if first else "")
                for row, first in zip(rows, best, strict=True)
            ],
        ),
        _Column("vs base", [_delta_cell(view, delta, compact) for delta in deltas]),
    ]


def _id_cell(row: TrialRow, best: bool) -> Text:
    return Text(f"{row.id}{'*' if best else ''}", "bold" if best or row.is_baseline else "")


def _delta_cell(view: SweepView, delta: float | None, compact: bool) -> Text:
    colour = "" if not delta else ("green" if numbers.is_better(delta, view.mode) else "red")
    return Text(numbers.difference(delta, _base(view), compact), colour)


def _parameter_columns(view: SweepView, rows: list[TrialRow]) -> dict[str, _Column]:
    names = numbers.short_names(_parameter_paths(view))
    return {
        path: _Column(name, [Text(numbers.parameter(row.parameters.get(path))) for row in rows])
        for path, name in names.items()
    }


def _fitting(columns: Mapping[str, _Column], room: int) -> dict[str, _Column]:
    """Return the columns from the left that fit into the room that is left."""
    fitting: dict[str, _Column] = {}
    for path, column in columns.items():
        room -= column.width
        if room < 0:
            break
        fitting[path] = column
    return fitting


def _legend(view: SweepView, shown: Mapping[str, _Column], left_out: int) -> Iterator[str]:
    good = f"{numbers.ARROWS[view.mode]} {numbers.direction(view.mode)}"
    yield f"{good}; value at the trial's best step; one seed a trial"
    if view.best is not None:
        yield f"* best{' so far' if view.active else ''}: {view.best.id} at step {view.best.value_step}"
    for path, column in shown.items():
        if path.split(".")[-1] != column.heading:
            yield f"{column.heading} = {path}{_weights_order(view, path)}"
    hidden = [path for path in _parameter_paths(view) if path not in shown]
    if hidden:
        yield f"too narrow for: {', '.join(hidden)}"
    if left_out:
        yield f"{left_out} more trials not shown"


def _weights_order(view: SweepView, path: str) -> str:
    weights = next((row.parameters[path] for row in view.rows if isinstance(row.parameters.get(path), Mapping)), None)
    return f" ({'/'.join(sorted(weights))})" if weights else ""


def _base(view: SweepView) -> float | None:
    return view.baseline.value if view.baseline else None


def _status(row: TrialRow) -> str:
    if row.status == "running":
        return row.phase or row.status
    return "baseline" if row.is_baseline and row.status == "completed" else row.status


def _steps(view: SweepView, row: TrialRow) -> str:
    if row.is_baseline or row.step is None:
        return "-"
    steps = row.phase_steps or view.steps
    return f"{row.step}/{steps}" if steps else str(row.step)


def _first_line(text: str) -> str:
    return text.strip().split("\n", maxsplit=1)[0]


def _parameter_paths(view: SweepView) -> list[str]:
    return list(dict.fromkeys(path for row in view.rows for path in row.parameters))


def _choose(view: SweepView, limit: int | None) -> list[TrialRow]:
    if limit is None or len(view.rows) <= limit:
        return list(view.rows)
    running = [row for row in view.trials if row.status == "running"]
    by_interest = [view.baseline, *running, *view.ranked[:3], *reversed(view.trials)]
    wanted = list(dict.fromkeys(row.id for row in by_interest if row is not None))[:limit]
    return [row for row in view.rows if row.id in wanted]
