"""The search space of a file that names none: that of its strategy, fitted to the file's own values.

The shipped file under `search_spaces/` says what is searched and, for published models, in which ranges. Two things
are changed, and the resolved file says so:

- the learning rate is searched over one decade around the file's own where the file sets one, and around the usual one
  of a `tiny:` checkpoint, whose rates lie far from those of published models;
- every other range and list is widened, where it must be, to hold the file's own value.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from posttrain import paths
from posttrain.config.default_values import is_tiny
from posttrain.config.strategy import STRATEGY_CONFIGS
from posttrain.config.training import TrainingConfig
from posttrain.config.tree import Origin, Tree

LEARNING_RATE = "training.learning_rate"


def default_space_file(family: str | None, strategy: Any) -> Path | None:
    """The shipped search space of a pair; None where there is no such pair."""
    usual = "vlm" if strategy == "rl" else "cosmos-predict"
    file = paths.shipped("search_spaces") / f"{family or usual}-{strategy}.yaml"
    return file if file.is_file() else None


def fit_to_file(space: Tree, document: Mapping[str, Any], *, rate_is_written: bool) -> None:
    """Changes a shipped search space so that it suits the file.

    Args:
        document: the file with its defaults.
        rate_is_written: whether the file itself sets a learning rate.
    """
    for path, dimension in space.value.items():
        own = _own(document, path)
        if not isinstance(own, int | float) or isinstance(own, bool) or not math.isfinite(own):
            continue  # no number, which is either right or reported elsewhere
        if "loguniform" in dimension and own <= 0:
            continue
        if path == LEARNING_RATE and (rate_is_written or is_tiny(document)):
            if math.isfinite(decade(own)[1]):
                _change(space, path, {"loguniform": list(decade(own))}, f"one decade around {own:g}")
            continue
        widened = _widened(dimension, own)
        if widened != dimension:
            _change(space, path, widened, f"{space.origin((path,)).file} with the file's own value")


def decade(centre: float) -> tuple[float, float]:
    """From `centre` over the square root of ten to `centre` times it, in two digits."""
    return float(f"{centre / math.sqrt(10):.1e}"), float(f"{centre * math.sqrt(10):.1e}")


def _own(document: Mapping[str, Any], path: str) -> Any:
    """What the file says at `section.key`, or else the default of the section's class."""
    name, _, key = path.partition(".")
    section = document.get(name)
    written: Mapping[str, Any] = section if isinstance(section, Mapping) else {}
    if key in written:
        return written[key]
    model = TrainingConfig if name == "training" else STRATEGY_CONFIGS[written["type"]]
    return model.model_fields[key].default


def _widened(dimension: Mapping[str, Any], own: float) -> dict[str, Any]:
    (kind, given), *_ = dimension.items()
    if kind == "choice":
        return {**dimension, kind: given if own in given else sorted([*given, own])}
    low, high = given
    return {**dimension, kind: [min(low, own), max(high, own)]}


def _change(space: Tree, path: str, dimension: dict[str, Any], origin: str) -> None:
    folder = space.origin((path,)).folder
    space.replace((path,), dimension, {(): Origin(origin, None, folder)})
