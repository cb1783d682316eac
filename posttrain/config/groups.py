"""Groups of samples by the values of a metadata column, and the texts that stand for these values.

`by: camera` makes one group of each camera, `by: synthetic` the groups `true` and `false`, `by: year` one of each
number. Samples without a value (no such column, null or NaN) are the group `missing`.
"""

import math
from typing import Any

MISSING = "missing"


def group_name(value: Any) -> str | None:
    """The text that stands for a value of a column, as a key of `weights` has it; None for what is no single value."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return MISSING
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, (str, int, float)) else None


def texts_for_keys(given: Any) -> Any:
    """Weights whose keys YAML has read as numbers, true, false or null, with the texts that stand for them."""
    if not isinstance(given, dict):
        return given
    return {key if (text := group_name(key)) is None else text: value for key, value in given.items()}


def texts_for_values(given: Any) -> Any:
    """The same for a list of names."""
    if not isinstance(given, (list, tuple)):
        return given
    return [value if (text := group_name(value)) is None else text for value in given]
