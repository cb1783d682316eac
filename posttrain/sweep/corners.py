"""The configurations that are gated before any trial: the file's own, and the ends of its search space."""

from typing import Any

from posttrain.config import SweepConfig, merge, trial_config
from posttrain.config.space import LogUniform, RandInt, Uniform, middle
from posttrain.errors import ConfigError

LAST_RESORT = "the middle of the search space"


def gate_configurations(config: SweepConfig) -> dict[str, dict[str, Any]]:
    """Name -> trial configuration, for the file's own and for all numbers at their low and at their high ends.

    The last one, `LAST_RESORT`, is for when none of these passes: both ends may be nonsense on purpose.

    An end that is no valid configuration is left out: the search meets and counts it when it draws it.
    """
    if config.overfit is None:
        return {}
    base = trial_config(config)
    found = {"the file's own configuration": base.model_dump()}
    numbers = {
        path: dimension
        for path, dimension in config.search_space.items()
        if isinstance(dimension, Uniform | LogUniform | RandInt)
    }
    ends = {
        "the low end of the search space": {path: dimension.low for path, dimension in numbers.items()},
        "the high end of the search space": {path: dimension.high for path, dimension in numbers.items()},
        LAST_RESORT: {path: middle(dimension) for path, dimension in numbers.items()},
    }
    for name, values in ends.items():
        try:
            corner = merge(base, values)
        except ConfigError:
            continue
        if corner != base:
            found[name] = corner.model_dump()
    return found
