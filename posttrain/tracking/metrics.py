"""The metric log of a trial: one JSON object a line, in the order in which things happened.

The trainer appends a record at every logged step and every evaluation; reports, the scheduler's restart and a
resumed trial read it back. A record has `step` (optimizer steps done), `kind` ("train", "eval", ...) and
plain numbers under the metric's own name ("held_out/loss"). JSON has no NaN, so a number that is not finite
is written as null and its name is listed under "nan", "inf" or "-inf"; `read` puts it back.

Each line reaches the operating system before `append` returns, so a killed process loses at most the line it
was writing. A trial that resumes from the checkpoint of step s calls `truncate(s)` first: the steps it will
do again are dropped, and the log of a resumed trial equals the log of an uninterrupted one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from posttrain.errors import PosttrainError, environment_faults
from posttrain.paths import write_atomic

Mode = Literal["min", "max"]
Number = float | int
Record = dict[str, Any]

_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


@dataclass(frozen=True)
class Measured:
    """A metric's value and the step at which it was measured."""

    value: float
    step: int


class MetricsLog:
    """Appends records to one metrics.jsonl; a context manager that closes the file.

    A torn last line (the writer was killed in the middle of it) is cut off when the log is opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        _cut_torn_tail(path)
        self._file = path.open("a", encoding="utf-8")

    def append(self, step: int, kind: str, values: Mapping[str, Number | str | bool | None]) -> None:
        """Write one record. Numbers may be numpy scalars; a value that is not finite stays readable as such.

        Raises EnvironmentFault where the disk takes no more.
        """
        line = json.dumps(_encode(step, kind, values), allow_nan=False) + "\n"
        with environment_faults(self.path):
            self._file.write(line)
            self._file.flush()

    def truncate(self, step: int) -> int:
        """Drop every record after `step`, which is where a checkpoint was taken.

        Return how many were dropped.
        """
        records = read(self.path)
        kept = [record for record in records if record["step"] <= step]
        if len(kept) < len(records):
            self._file.close()
            write_atomic(self.path, "".join(_line(record) for record in kept))
            self._file = self.path.open("a", encoding="utf-8")
        return len(records) - len(kept)

    def close(self) -> None:
        """Close the file; appending afterwards is a bug."""
        self._file.close()

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read(path: Path) -> list[Record]:
    """Return all records of a metrics.jsonl, oldest first; an absent file has none.

    A torn last line is left out: its writer is still at it, or was killed. Raises PosttrainError for a broken
    line anywhere else, which no killed writer leaves behind.
    """
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    return [_decode(path, number, line) for number, line in enumerate(lines[:-1], start=1)]


def series(records: Iterable[Record], name: str) -> list[Measured]:
    """Return the values of one metric over the steps, those that are not finite included."""
    return [Measured(float(record[name]), record["step"]) for record in records if name in record]


def best(values: Sequence[Measured], mode: Mode) -> Measured | None:
    """Return the best finite value, the earliest one where several are equal.

    None where no value is finite.
    """
    finite = [measured for measured in values if math.isfinite(measured.value)]
    sign = 1.0 if mode == "min" else -1.0
    return min(finite, key=lambda measured: (sign * measured.value, measured.step), default=None)


def as_finite(value: Any) -> float | None:
    """Return a number as float, and None for whatever is not a finite number."""
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if usable else None


def _encode(step: int, kind: str, values: Mapping[str, Any]) -> Record:
    clash = {"step", "kind", *_NOT_FINITE} & values.keys()
    assert not clash, f"metric names reserved by the log: {sorted(clash)}"
    record: Record = {"step": int(step), "kind": kind}
    marks: dict[str, list[str]] = {}
    for name, value in values.items():
        plain = value.item() if hasattr(value, "item") else value
        if isinstance(plain, float) and not math.isfinite(plain):
            marks.setdefault(str(plain), []).append(name)
            plain = None
        record[name] = plain
    return record | marks


def _decode(path: Path, number: int, line: str) -> Record:
    try:
        record = json.loads(line)
        for mark, value in _NOT_FINITE.items():
            for name in record.pop(mark, ()):
                record[name] = value
        return {"step": int(record.pop("step")), **record}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PosttrainError(
            f"{path}:{number}: not a metrics record ({error}): {line[:80]!r}. Something other than posttrain "
            f"changed the file; restore it, or delete the trial's folder and run the sweep again."
        ) from error


def _line(record: Record) -> str:
    values = {name: value for name, value in record.items() if name not in ("step", "kind")}
    return json.dumps(_encode(record["step"], record["kind"], values), allow_nan=False) + "\n"


def _cut_torn_tail(path: Path) -> None:
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        write_atomic(path, whole)
