"""What a mixture may not ask of a source: `max_share` of all draws, `max_epochs` over each of its samples.

A mixture that asks for more is an error with the largest weight that works, found before anything runs: for the file's
own weights by `checked_mixture`, for drawn ones by the same call on the drawn configuration, and for the weights that a
search could draw by `caps_in_reach`.

The caps are held against the draws that the weights ask for. What is realised differs by less than one sample for each
group of a stage.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from posttrain.config import SingleConfig, SweepConfig, TrialConfig, merge
from posttrain.config.space import Choice, Dimension, RandInt, Simplex, Uniform
from posttrain.config.space_check import corners
from posttrain.data.pools import Train
from posttrain.data.stages import Mixture, plan_mixture
from posttrain.errors import ConfigError, DataError

_DIGITS = 4  # of a weight that a message names
_QUANTITIES = {"max_share": "of all draws", "max_epochs": "epochs"}


@dataclass(frozen=True)
class Term:
    """What one group of one stage adds to a capped quantity: `amount`, in proportion to its `weight`.

    Attributes:
        alone: whether it is the only group that the stage draws, so that no weight changes it.
    """

    stage: str
    group: str
    weight: float
    amount: float
    alone: bool


@dataclass(frozen=True)
class Excess:
    """A source of which the mixture asks more than its cap: the terms sum to `asked`."""

    source: str
    key: str  # max_share or max_epochs
    cap: float
    terms: tuple[Term, ...]
    draws: float
    samples: int

    @property
    def asked(self) -> float:
        return math.fsum(term.amount for term in self.terms)

    def largest(self, movable: Sequence[Term]) -> list[float] | None:
        """The largest weights of these terms that work, all scaled alike; None where none above 0 does."""
        moved = math.fsum(term.amount for term in movable)
        room = self.cap - (self.asked - moved)
        if moved <= 0 or room <= 0:
            return None
        return [_rounded_down(term.weight * room / moved) for term in movable]


def checked_mixture(config: TrialConfig, train: Train[Any]) -> Mixture:
    """The mixture of a trial, whose caps hold.

    Raises:
        DataError: the samples do not have what a stage asks for, or cannot carry its weights.
    """
    mixture = _mixture(config, train)
    found = [_message(excess, config, mixture) for excess in over_caps(config, mixture, train)]
    if found:
        raise DataError("; also ".join(found))
    return mixture


def over_caps(config: TrialConfig, mixture: Mixture, train: Train[Any]) -> list[Excess]:
    """The sources of which a mixture asks more than `max_share` or `max_epochs` allow."""
    found: list[Excess] = []
    for name, source in config.data.sources.items():
        capped = (("max_share", source.max_share, _shares), ("max_epochs", source.max_epochs, _passes))
        for key, cap, measure in capped:
            if cap is None:
                continue
            terms, samples = measure(name, mixture, train)
            draws = math.fsum(mixture.expected(stage).get(name, 0.0) for stage in mixture.stages)
            excess = Excess(name, key, cap, tuple(terms), draws, samples)
            if excess.asked > cap and not math.isclose(excess.asked, cap, rel_tol=1e-9):
                found.append(excess)
    return found


def caps_in_reach(config: SweepConfig | SingleConfig, train: Train[Any]) -> list[str]:
    """Messages about searched weights that can ask more of a source than its caps allow, with the bound to write.

    Each name is put at the largest weight that its simplexes can draw, at the largest batch and number of steps that
    are searched.
    """
    spaces = {path: found for path, found in config.search_space.items() if isinstance(found, Simplex)}
    names = dict.fromkeys(name for space in spaces.values() for name in space.names)
    found: dict[str, None] = {}
    for name in names:
        highest = {path: _highest(space, name) for path, space in spaces.items() if name in space.names}
        corner = _merged(config, {**_longest(config.search_space), **highest}) or _merged(config, highest)
        if corner is None:
            continue
        try:
            mixture = _mixture(corner, train)
        except DataError:  # told where it is drawn, or of the file's own weights
            continue
        for excess in over_caps(corner, mixture, train):
            found |= dict.fromkeys(_reach_messages(excess, name, highest, spaces))
    return list(found)


def _mixture(config: TrialConfig, train: Train[Any]) -> Mixture:
    training = config.training
    return plan_mixture(config.data, train, config.num_batches(training.steps), training.batch_size)


def _shares(source: str, mixture: Mixture, train: Train[Any]) -> tuple[list[Term], int]:
    """What each group adds to the source's share of all draws, and how many samples the source has."""
    total = sum(stage.num_draws for stage in mixture.stages)
    terms = [
        replace(term, amount=term.amount * mixture.pools[key].share(source) / total)
        for key, term in _drawn(mixture)
        if source in mixture.pools[key].indices
    ]
    return terms, len(train[source])


def _passes(source: str, mixture: Mixture, train: Train[Any]) -> tuple[list[Term], int]:
    """What each group adds to the draws of the source's most drawn sample, and how many samples are drawn at all."""
    passes_N = np.zeros(len(train[source]))
    drawn = [(key, term) for key, term in _drawn(mixture) if source in mixture.pools[key].indices]
    for key, term in drawn:
        passes_N[mixture.pools[key].indices[source]] += term.amount / len(mixture.pools[key])
    if not drawn:
        return [], 0
    most = int(passes_N.argmax())
    terms = [
        replace(term, amount=term.amount / len(mixture.pools[key]))
        for key, term in drawn
        if most in mixture.pools[key].indices[source]
    ]
    return terms, int((passes_N > 0).sum())


def _drawn(mixture: Mixture) -> Iterator[tuple[str, Term]]:
    """Each group of each stage with the draws that its weight asks for."""
    for stage in mixture.stages:
        weights = stage.normalised
        for key, weight in weights.items():
            group = stage.groups.get(key, key)
            yield key, Term(stage.name, group, weight, weight * stage.num_draws, len(weights) == 1)


def _message(excess: Excess, config: TrialConfig, mixture: Mixture) -> str:
    heaviest = max(excess.terms, key=lambda term: term.amount)
    cap = f"data.sources.{excess.source}.{excess.key}"
    where = cap if config.data.stages is None else f"data.stages.{heaviest.stage}.weights"
    total = sum(stage.num_draws for stage in mixture.stages)
    weights = ", ".join(f"{term.weight:.4g} for {term.group} in {term.stage}" for term in excess.terms)
    if excess.key == "max_share":
        asked = f"{excess.draws:.0f} of all {total} draws, a share of {excess.asked:.4g}"
    else:
        asked = f"{excess.draws:.0f} of all {total} draws, {excess.asked:.4g} epochs over {excess.samples} samples"
    return (
        f"{where}: the data of {excess.source} cannot carry its weight ({weights}): {asked}, and {cap} is "
        f"{excess.cap:g}; {_remedy(excess, config.training.steps)}"
    )


def _remedy(excess: Excess, num_steps: int) -> str:
    movable = [term for term in excess.terms if not term.alone]
    largest = excess.largest(movable)
    ways = []
    if largest is not None:
        each = zip(movable, largest, strict=True)
        listed = " and ".join(f"{weight:g} for {term.group} in {term.stage}" for term, weight in each)
        ways.append(f"the largest weights that work are {listed} (of weights that sum to 1)")
    if excess.key == "max_epochs":
        fitting = int(num_steps * excess.cap / excess.asked)
        ways += [f"train for about {fitting} steps"] if fitting else []
        return ", or ".join([*ways, "add samples", f"raise {excess.key}"])
    return ", or ".join([*ways, f"raise {excess.key}"])


def _highest(space: Simplex, name: str) -> dict[str, float]:
    """The weights that give a name the most that the simplex can; the others share the rest within their bounds."""
    largest = space.reach(name)[1]
    others = [other for other in space.names if other != name]
    lowest, highest = space.lowest, space.highest
    rest = 1 - largest - math.fsum(lowest[other] for other in others)
    room = math.fsum(highest[other] - lowest[other] for other in others)
    spread = {o: lowest[o] + (rest * (highest[o] - lowest[o]) / room if room > 0 else 0.0) for o in others}
    return {other: largest if other == name else spread[other] for other in space.names}


def _longest(space: Mapping[str, Dimension]) -> dict[str, Any]:
    """The largest batch and number of steps that are searched, and the largest fractions of stages."""
    found: dict[str, Any] = {}
    for path, dimension in space.items():
        is_length = path in ("training.batch_size", "training.steps")
        if is_length and isinstance(dimension, (Choice, RandInt)):
            found[path] = max(corners(dimension))
        if path.endswith(".fraction") and isinstance(dimension, (Uniform, Choice)):
            found[path] = max(corners(dimension))
    return found


def _merged(config: TrialConfig, parameters: Mapping[str, Any]) -> TrialConfig | None:
    try:
        return merge(config, parameters)
    except ConfigError:
        return None


def _reach_messages(
    excess: Excess, name: str, highest: Mapping[str, Mapping[str, float]], spaces: Mapping[str, Simplex]
) -> Iterator[str]:
    searched = {path.split(".")[2]: path for path in highest}
    movable = [term for term in excess.terms if term.stage in searched and term.group == name]
    if not movable:
        return  # another name, or a weight that is not searched
    largest = excess.largest(movable)
    for place, term in enumerate(movable):
        path = searched[term.stage]
        told = (
            f"search_space.{path}: it can draw {term.weight:.4g} for {name}; {excess.source} would then have "
            f"{excess.asked:.4g} {_QUANTITIES[excess.key]}, above data.sources.{excess.source}.{excess.key} = "
            f"{excess.cap:g}, and such a trial is refused"
        )
        if largest is None or largest[place] <= spaces[path].reach(name)[0]:
            yield f"{told}; no weight that it can draw works"
        else:
            yield f"{told}; write `max: {{{name}: {largest[place]:g}}}`"


def _rounded_down(weight: float) -> float:
    """A weight with few digits, not above itself but for the rounding of the arithmetic."""
    scale = 10.0 ** (_DIGITS - 1 - math.floor(math.log10(weight)))
    return math.floor(weight * scale + 1e-6) / scale
