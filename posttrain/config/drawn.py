"""Drawn parameters merged into the one trial config, and validated again as if they stood in the file.

A parameter's name is its configuration path; an entry of a list goes by its `name` or `type`:
`training.learning_rate`, `data.stages.broad.weights`, `data.augmentations.caption_dropout.probability`.
"""

import copy
import json
import math
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from posttrain.config.data import StageConfig
from posttrain.config.issues import issues_of
from posttrain.config.trial import TrialConfig, trial_config
from posttrain.errors import ConfigError

Value = Any
DEFAULT_STAGE = "all"


def merge(config: TrialConfig, parameters: Mapping[str, Value]) -> TrialConfig:
    """The trial config with these values in the place of its own.

    Where the fraction of a stage is drawn, the stages that are not drawn share the rest in proportion to their own.
    Parameters that are all the config's own values leave it as it stands, to the last digit.

    Raises:
        ConfigError: a name is no path of this configuration, or the values make no valid one.
    """
    base = trial_config(config)
    document = base.model_dump()
    if any(path.startswith("data.stages.") for path in parameters):
        _name_default_stage(document)
    changed = [_put(document, path, copy.deepcopy(value)) for path, value in parameters.items()]
    if not any(changed):
        return base
    _share_the_rest(document, parameters)
    try:
        return TrialConfig.model_validate(document)
    except ValidationError as error:
        raise ConfigError(issues_of(error, TrialConfig, document)) from error


def value_at(config: BaseModel, path: str) -> Value:
    """What a configuration path holds; KeyError where it holds nothing."""
    document = config.model_dump()
    if path.startswith("data.stages."):
        _name_default_stage(document)
    parent, key = _place(document, path)
    return parent[key]


def plain_value(value: Value) -> Value:
    """A value as JSON and YAML know it: lists instead of tuples."""
    if isinstance(value, Mapping):
        return {key: plain_value(item) for key, item in value.items()}
    return [plain_value(item) for item in value] if isinstance(value, (list, tuple)) else value


def equal_weights(config: TrialConfig, path: str) -> dict[str, float] | None:
    """What a stage without weights of its own stands for; None where it goes by a column, whose values data tell."""
    if value_at(config, f"{path.removesuffix('.weights')}.by") is not None:
        return None
    return dict.fromkeys(config.data.sources, 1 / len(config.data.sources))


def _name_default_stage(document: dict[str, Any]) -> None:
    if document["data"]["stages"] is None:
        names = list(document["data"]["sources"])
        weights = {name: 1 / len(names) for name in names}
        stage = StageConfig(name=DEFAULT_STAGE, fraction=1.0, weights=weights)
        document["data"]["stages"] = [stage.model_dump()]


def _put(document: dict[str, Any], path: str, value: Value) -> bool:
    """Puts a value at its path; returns whether it differs from the one that was there."""
    try:
        parent, key = _place(document, path)
    except KeyError as error:
        raise ConfigError.single(path, "is no path of this configuration") from error
    own, parent[key] = parent[key], value
    if own is None and key == "weights" and isinstance(value, Mapping):
        own = dict.fromkeys(value if parent.get("by") else document["data"]["sources"], 1 / len(value))
    return _json(own) != _json(value)


def _json(value: Value) -> str:
    """A value as text, the same before and after it was kept in a file."""
    return json.dumps(value, sort_keys=True, default=str)


def _place(document: dict[str, Any], path: str) -> tuple[Any, Any]:
    node: Any = document
    parent, key = node, None
    for name in path.split("."):
        parent, key = node, _key(node, name)
        if key is None:
            raise KeyError(path)
        node = parent[key]
    return parent, key


def _key(node: Any, name: str) -> Any:
    if isinstance(node, dict):
        return next((key for key in node if str(key) == name), None)
    if isinstance(node, (list, tuple)):
        return next((i for i, item in enumerate(node) if name in (item.get("name"), item.get("type"))), None)
    return None


def _share_the_rest(document: dict[str, Any], parameters: Mapping[str, Value]) -> None:
    drawn = [
        path.split(".")[2] for path in parameters if path.startswith("data.stages.") and path.endswith(".fraction")
    ]
    stages = document["data"]["stages"] or []
    fractions = [stage["fraction"] for stage in stages if stage["name"] in drawn]
    if not drawn or len(drawn) == len(stages) or not all(isinstance(value, (int, float)) for value in fractions):
        return  # nothing to share, or a value that the validation will refuse
    rest = 1 - math.fsum(fractions)
    if rest <= 0:
        where = f"data.stages.{drawn[0]}.fraction"
        raise ConfigError.single(where, f"leaves {rest:.3g} of the steps for the other stages, expected more than 0")
    others = [stage for stage in stages if stage["name"] not in drawn]
    total = math.fsum(stage["fraction"] for stage in others)
    for stage in others:
        stage["fraction"] = stage["fraction"] / total * rest
