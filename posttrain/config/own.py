"""The file's own configuration as the first trial of the search, and whether the search space reaches it.

Trial t0001 is the file as it stands, wherever the search space lies. A value that the space does not hold is a warning
with the remedy, because the search will not return to it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from posttrain.config.base import Finding
from posttrain.config.drawn import equal_weights, plain_value, value_at
from posttrain.config.issues import shown
from posttrain.config.space import Choice, Dimension, LogUniform, RandInt, Simplex, Uniform
from posttrain.config.trial import SweepConfig, TrialConfig

Value = Any
# Weights that differ by less are rounding.
_TOLERANCE = 1e-9


def own_values(config: TrialConfig, space: Mapping[str, Dimension]) -> dict[str, Value]:
    """Configuration path of every dimension -> the file's own value, as plain data; weights are always written out."""
    return {path: _own_value(config, path, dimension) for path, dimension in space.items()}


def own_parameters(config: TrialConfig, space: Mapping[str, Dimension]) -> dict[str, Value]:
    """The parameters of trial t0001: the file's own value of every dimension whose `when` holds in the file."""
    return {path: value for path, value in own_values(config, space).items() if _active(config, space[path])}


def holds(dimension: Dimension, value: Value) -> bool:
    """Whether the search can return to `value`."""
    match dimension:
        case Uniform() | LogUniform() | RandInt():
            return _is_number(value) and dimension.low <= value <= dimension.high
        case Choice():
            return value in [plain_value(choice) for choice in dimension.choices]
        case Simplex():
            return _holds_weights(dimension, value)
    raise AssertionError(f"unknown kind {dimension!r}")


def out_of_reach(config: SweepConfig) -> Iterator[Finding]:
    """A warning for each own value that the search space does not hold."""
    for path, value in own_parameters(config, config.search_space).items():
        dimension = config.search_space[path]
        if holds(dimension, value):
            continue
        reach, remedy = _reach(dimension)
        if value is None:
            message = f"{path} is not set in the file: t0001 runs without it, the other trials with a value of {reach}"
            yield ("search_space", path), message, "set it in the file to begin inside the search space"
            continue
        message = f"the file's own {path} {_text(value)} lies outside of {reach}"
        yield ("search_space", path), f"{message}; t0001 runs with it, the search does not go there", remedy


def _own_value(config: TrialConfig, path: str, dimension: Dimension) -> Value:
    value = plain_value(value_at(config, path))
    if value is None and isinstance(dimension, Simplex):
        return equal_weights(config, path) or {name: 1 / len(dimension.names) for name in dimension.names}
    return value


def _active(config: TrialConfig, dimension: Dimension) -> bool:
    return dimension.active({path: value_at(config, path) for path in dimension.when or {}})


def _holds_weights(dimension: Simplex, weights: Mapping[str, float]) -> bool:
    if any(weight > 0 for name, weight in weights.items() if name not in dimension.names):
        return False
    for name in dimension.names:
        low, high = dimension.reach(name)
        if not low - _TOLERANCE <= weights.get(name, 0.0) <= high + _TOLERANCE:
            return False
    return True


def _reach(dimension: Dimension) -> tuple[str, str]:
    """What a dimension holds, in words, and how to make it hold more."""
    match dimension:
        case Uniform() | LogUniform() | RandInt():
            return f"its range {dimension.low:g} to {dimension.high:g}", "widen the range to include it"
        case Choice():
            listed = ", ".join(_text(choice) for choice in dimension.choices)
            return f"its choices {listed}", "add it to the choices"
        case Simplex():
            reached = {name: dimension.reach(name) for name in dimension.names}
            listed = ", ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in reached.items())
            return f"its simplex ({listed})", "widen min and max, or add the sources that are not in it"
    raise AssertionError(f"unknown kind {dimension!r}")


def _text(value: Value) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {weight:.3g}" for name, weight in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value) if isinstance(value, int | str) else shown(value)


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
