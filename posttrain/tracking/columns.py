"""Which hyper-parameters and metrics the HParams table of TensorBoard has, from the sweep's configuration.

The columns are every searched dimension, with its type and domain, and the fixed settings that a reader asks
for first. A simplex becomes a column per source, `data.stages.broad.weights.ego`, since the table knows only
numbers, texts and truth values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from posttrain.config.evaluation import METRICS_OF
from posttrain.config.own import holds, own_values
from posttrain.config.space import Choice, Dimension, LogUniform, RandInt, Simplex, Uniform
from posttrain.config.support import kind_of
from posttrain.tracking.metrics import Mode

if TYPE_CHECKING:
    from posttrain.config import TrialConfig

Value = float | int | bool | str
Kind = Literal["float", "string", "bool"]

BASELINE_ID = "t0000"

FIXED = (
    "model.checkpoint",
    "strategy.type",
    "strategy.rank",
    "strategy.alpha",
    "strategy.ema",
    "strategy.generations",
    "strategy.kl",
    "strategy.temperature",
    "training.steps",
    "training.batch_size",
    "training.learning_rate",
    "training.warmup",
    "training.schedule",
    "training.weight_decay",
    "training.precision",
    "training.seed",
    "resources.workers",
)


@dataclass(frozen=True)
class Column:
    """A hyper-parameter of the table: configuration path, type, and an interval, choices, or neither."""

    name: str
    kind: Kind
    interval: tuple[float, float] | None = None
    choices: tuple[Value, ...] = ()
    description: str = ""


@dataclass(frozen=True)
class Objective:
    """What the sweep optimises: a metric's name ("held_out/loss") and its direction."""

    metric: str
    mode: Mode

    @property
    def tag(self) -> str:
        """Return the scalar's tag that holds the objective at its best step."""
        return f"best/{self.metric}"


def table_columns(config: TrialConfig, space: Mapping[str, Dimension]) -> list[Column]:
    """Return the columns of a sweep's table: the searched ones, then the fixed settings that are set.

    A searched column reaches as far as its dimension and the file's own value, for TensorBoard hides a row that lies
    outside, and cannot sort a column whose cells are of several types.
    """
    own = own_values(config, space)
    searched = [column for path, dimension in space.items() for column in _searched(path, dimension, own[path])]
    document = config.model_dump(mode="json")
    fixed = {path: lookup(document, path) for path in FIXED if path not in space}
    return searched + [
        Column(path, _kind([value]), description="fixed") for path, value in fixed.items() if value is not None
    ]


def column_values(columns: Sequence[Column], config: TrialConfig, parameters: Mapping[str, Any]) -> dict[str, Value]:
    """Return a trial's cells: drawn values for searched columns, the trial's configuration for fixed ones.

    A searched dimension that was not drawn for this trial (its `when` does not hold) has no cell.
    """
    document = config.model_dump(mode="json")
    drawn = _flat(parameters)
    found = {
        column.name: lookup(document, column.name) if column.description == "fixed" else drawn.get(column.name)
        for column in columns
    }
    kinds = {column.name: column.kind for column in columns}
    return {
        name: str(value) if kinds[name] == "string" else value for name, value in found.items() if value is not None
    }


def metric_tags(config: TrialConfig) -> list[str]:
    """Return the names of all metrics that a trial of this configuration is measured in."""
    measured = METRICS_OF[kind_of(config.model.family, config.strategy.type)]
    if config.evaluation.psnr is None:
        measured = tuple(metric for metric in measured if metric != "psnr")
    return [f"{suite}/{metric}" for suite in config.evaluation.suite_names for metric in measured]


def lookup(document: Any, path: str) -> Any:
    """Return the value at a configuration path of a plain document, None where there is none.

    An item of a list is found by its `name`: `data.stages.broad.fraction`.
    """
    for key in path.split("."):
        if isinstance(document, list):
            document = next((item for item in document if isinstance(item, dict) and item.get("name") == key), None)
        elif isinstance(document, dict):
            document = document.get(key)
        else:
            return None
    return document


def _searched(path: str, dimension: Dimension, own: Any) -> list[Column]:
    if isinstance(dimension, Choice):
        listed = dimension.choices if own is None or holds(dimension, own) else (*dimension.choices, own)
        kind = _kind(listed)
        choices = tuple(str(choice) if kind == "string" else choice for choice in listed)
        return [Column(path, kind, choices=choices, description="searched")]
    if isinstance(dimension, Simplex):
        low, high = dimension.lowest, dimension.highest
        return [
            Column(f"{path}.{name}", "float", _reaching(low[name], high[name], own.get(name)), description="searched")
            for name in dimension.names
        ]
    assert isinstance(dimension, Uniform | LogUniform | RandInt), f"no column for {type(dimension).__name__}"
    interval = _reaching(dimension.low, dimension.high, own)
    return [Column(path, "float", interval, description=f"searched, {dimension.kind}")]


def _reaching(low: float, high: float, own: float | None) -> tuple[float, float]:
    return (low, high) if own is None else (min(low, own), max(high, own))


def _kind(values: Sequence[Any]) -> Kind:
    if all(isinstance(value, bool) for value in values):
        return "bool"
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    return "float" if numbers else "string"


def _flat(parameters: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for path, value in parameters.items():
        flat |= {f"{path}.{key}": part for key, part in value.items()} if isinstance(value, Mapping) else {path: value}
    return flat
