"""Draws a configuration from the search space through an Optuna trial, and builds the sampler that does it.

A dimension is drawn after those that its `when` names. Simplex weights come from one log-uniform number in [0.01,
1] per source, normalised: of the parametrisations that were measured it is the one that is good everywhere, random
start-up included. The study's journal keeps the numbers under `<path>.<source>`, the configuration gets the
weights.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, Literal

from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import Trial

from posttrain.config.drawn import plain_value
from posttrain.config.space import Choice, Dimension, LogUniform, RandInt, Simplex, Uniform, middle
from posttrain.sweep.study import MakeSampler, Suggest

SIMPLEX_RANGE = (0.01, 1.0)
_PLAIN = (str, int, float, bool, type(None))


def make_suggest(space: Mapping[str, Dimension], fixed: Callable[[str], Any]) -> Suggest:
    """A function that draws every active dimension; `fixed(path)` is the file's own value, for `when` and its like."""
    order = _drawing_order(space)

    def suggest(trial: Trial) -> dict[str, Any]:
        drawn: dict[str, Any] = {}
        for path in order:
            dimension = space[path]
            named = {name: drawn[name] if name in drawn else fixed(name) for name in dimension.when or {}}
            if dimension.active(named):
                drawn[path] = _draw(trial, path, dimension)
        return {path: drawn[path] for path in space if path in drawn}

    return suggest


def first_draws(space: Mapping[str, Dimension], own: Mapping[str, Any]) -> dict[str, Any]:
    """The point of the space nearest to the file's `own` values, by the names in Optuna: what t0001 is drawn as.

    Values that the space does not hold cannot be parameters of an Optuna trial: a number outside of its range (0 in a
    logarithmic one above all) spoils TPE's densities, an unknown choice is refused, and a trial without a parameter, or
    with another range for it, ends joint sampling of that parameter for the whole study.
    """
    draws: dict[str, Any] = {}
    for path, dimension in space.items():
        match dimension:
            case Uniform() | LogUniform() | RandInt():
                draws[path] = _nearest_number(dimension, own[path])
            case Choice():
                draws[path] = _choice_key(_nearest_choice(dimension, own[path]), dimension)
            case Simplex():
                draws |= _simplex_draws(path, dimension, own[path])
    return draws


def _nearest_number(dimension: Uniform | LogUniform | RandInt, own: Any) -> float:
    """The value itself where the range holds it, else the nearer end; the middle for what is not a number."""
    if not isinstance(own, int | float) or isinstance(own, bool):
        own = middle(dimension)
    number = min(max(own, dimension.low), dimension.high)
    return round(number) if isinstance(dimension, RandInt) else float(number)


def _nearest_choice(dimension: Choice, own: Any) -> Any:
    """The value itself where it is listed, else the nearest number, else the first choice."""
    for choice in dimension.choices:
        if plain_value(choice) == own:
            return choice
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in (own, *dimension.choices)):
        return dimension.choices[0]
    return min(dimension.choices, key=lambda choice: abs(choice - own))


def _simplex_draws(path: str, dimension: Simplex, own: Mapping[str, float]) -> dict[str, float]:
    """Draws whose weights are the nearest to `own`; no weight can be below a hundredth of the largest one."""
    weights = {name: own.get(name, 0.0) for name in dimension.names}
    highest = max(weights.values()) or 1.0  # all 0: the file trains on other sources alone
    return {f"{path}.{name}": max(SIMPLEX_RANGE[0], weight / highest) for name, weight in weights.items()}


def make_samplers(kind: Literal["tpe", "random"], seed: int, trials: int) -> MakeSampler:
    """Trial number -> a fresh sampler, so that a resumed sweep goes on with the draws of a straight one."""

    def sampler(number: int) -> BaseSampler:
        own_seed = int.from_bytes(hashlib.sha256(f"{seed}/{number}".encode()).digest()[:4], "big")
        if kind == "random":
            return RandomSampler(seed=own_seed)
        # Ten random trials would be most of a small sweep: a quarter of the trials, within 4 and 10.
        return TPESampler(
            seed=own_seed,
            multivariate=True,
            constant_liar=True,
            n_startup_trials=min(10, max(4, trials // 4)),
        )

    return sampler


def _drawing_order(space: Mapping[str, Dimension]) -> list[str]:
    order: list[str] = []

    def visit(path: str, on_the_way: tuple[str, ...]) -> None:
        if path in order or path in on_the_way:
            return  # a circle of conditions is refused by the configuration's own check
        for name in space[path].when or {}:
            if name in space:
                visit(name, (*on_the_way, path))
        order.append(path)

    for path in space:
        visit(path, ())
    return order


def _draw(trial: Trial, path: str, dimension: Dimension) -> Any:
    match dimension:
        case Uniform():
            return trial.suggest_float(path, dimension.low, dimension.high)
        case LogUniform():
            return trial.suggest_float(path, dimension.low, dimension.high, log=True)
        case RandInt():
            return trial.suggest_int(path, dimension.low, dimension.high)
        case Choice():
            return _draw_choice(trial, path, dimension)
        case Simplex():
            low, high = SIMPLEX_RANGE
            drawn = [trial.suggest_float(f"{path}.{name}", low, high, log=True) for name in dimension.names]
            return dimension.weights(drawn)
    raise AssertionError(f"{path}: no rule to draw a {type(dimension).__name__}")


def _draw_choice(trial: Trial, path: str, dimension: Choice) -> Any:
    by_key = {_choice_key(choice, dimension): choice for choice in dimension.choices}
    return by_key[trial.suggest_categorical(path, tuple(by_key))]


def _choice_key(choice: Any, dimension: Choice) -> Any:
    """What Optuna knows a choice by: it keeps plain values alone, a list or a mapping goes by its JSON text."""
    plain = all(isinstance(each, _PLAIN) for each in dimension.choices)
    return choice if plain else json.dumps(choice, sort_keys=True)
