"""How numbers, parameters and directions are written for people: significant digits, signs, short names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from posttrain.tracking.metrics import Mode

# The field's own short names; every table that uses one has a legend with the full path.
ABBREVIATIONS = {
    "learning_rate": "lr",
    "batch_size": "batch",
    "micro_batch_size": "micro",
    "weight_decay": "decay",
}

ARROWS = {"min": "↓", "max": "↑"}


def significant(value: float | None, digits: int = 4) -> str:
    """Return a number with so many significant digits, zeros at the end included: a column lines up."""
    return "-" if value is None else _short_exponent(f"{value:#.{digits}g}".removesuffix("."))


def parameter(value: Any, named: bool = False) -> str:
    """Return a parameter's value with 3 significant digits.

    Weights are written in the alphabetical order of their sources, as .25/.75, or as ego:.25/other:.75 if
    `named`.
    """
    if isinstance(value, Mapping):
        weights = {source: parameter(value[source]).removeprefix("0") or "0" for source in sorted(value)}
        return "/".join(f"{source}:{weight}" if named else weight for source, weight in weights.items())
    if isinstance(value, bool) or not isinstance(value, float):
        return "-" if value is None else str(value)
    # one notation for small numbers: 1.2e-4 and 1e-5, not 0.00012 and 1e-05
    small = 0 < abs(value) < 1e-3
    return _short_exponent(re.sub(r"\.?0+e", "e", f"{value:.2e}") if small else f"{value:.3g}")


def difference(delta: float | None, base: float | None, compact: bool = False) -> str:
    """Return a signed difference and, where it means something, its share of the base: `-0.1000 (-24.3%)`.

    `compact` leaves the share alone: `-24.3%`.
    """
    if delta is None:
        return "-"
    text = _short_exponent(f"{delta:+#.3g}".removesuffix("."))
    if not base:
        return text
    share = f"{delta / abs(base):+.1%}"
    return share if compact else f"{text} ({share})"


def is_better(delta: float, mode: Mode) -> bool:
    """Return whether a difference from the baseline goes in the direction that is searched for."""
    return delta < 0 if mode == "min" else delta > 0


def direction(mode: Mode) -> str:
    """Return which direction is good, in words."""
    return "lower is better" if mode == "min" else "higher is better"


def short_names(paths: Iterable[str]) -> dict[str, str]:
    """Return a short, unique name for each configuration path: its last part, or more where needed."""
    listed = list(paths)
    names = {path: _ending(path, 1) for path in listed}
    for length in range(2, max((path.count(".") + 2 for path in listed), default=2)):
        taken = list(names.values())
        names = {path: name if taken.count(name) == 1 else _ending(path, length) for path, name in names.items()}
    return names


def duration(seconds: float) -> str:
    """Return a span of time as people say it: 42 s, 3 min 05 s, 2 h 07 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _ending(path: str, length: int) -> str:
    parts = path.split(".")
    # a stage's weights or fraction say nothing without the stage's name
    start = -max(length, 2) if "stages" in parts[:-1] else -length
    *before, last = parts[start:]
    return ".".join([*before, ABBREVIATIONS.get(last, last)])


def _short_exponent(text: str) -> str:
    return re.sub(r"e([+-])0*(\d)", lambda match: f"e{match[1].replace('+', '')}{match[2]}", text)
