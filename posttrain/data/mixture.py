"""Which sample comes next: stages with mixture weights over sources, exactly kept and exactly resumable.

At every prefix of a stage each source has been drawn within one sample of its weight times the number of draws. That
is the chairman assignment problem; the rule is Tijdeman's (Discrete Mathematics 32, 1980), whose deviation is at most
1 - 1/(2K - 2) for K sources. Smooth weighted round-robin, the usual choice, does not keep that bound for many sources.

Inside a source samples come in passes: each pass is a permutation seeded by (seed, source, pass), so it holds each
sample once, and passes run on across stages. The whole state is the number of draws so far of each stage and source.
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from posttrain.config import DataConfig
from posttrain.errors import DataError

# Ties in the arithmetic of weights are broken by order, not by rounding.
_EPSILON = 1e-9


@dataclass(frozen=True)
class Stage:
    """`num_draws` samples drawn with `weights` per source; a source of weight 0 or left out is not drawn."""

    name: str
    num_draws: int
    weights: Mapping[str, float]


class MixtureSchedule:
    """Iterates over (source, index in the source); `state_dict` and `load_state_dict` resume exactly.

    Args:
        sizes: number of samples of each source.
        stages: in their order.
        seed: of the permutations; the order of the sources does not depend on it.

    Raises:
        DataError: a stage draws from nothing, or weighs a source that has no samples.
    """

    def __init__(self, sizes: Mapping[str, int], stages: Sequence[Stage], seed: int) -> None:
        self.sizes = dict(sizes)
        self.stages = list(stages)
        self.seed = seed
        self._weights = [_normalise(stage, self.sizes) for stage in self.stages]
        self._counts = [dict.fromkeys(weights, 0) for weights in self._weights]
        self._totals = dict.fromkeys(self.sizes, 0)
        self._passes: dict[str, tuple[int, npt.NDArray[np.int64]]] = {}
        self._stage = 0
        self._drawn = 0  # of the current stage

    def __len__(self) -> int:
        """All draws of all stages."""
        return sum(stage.num_draws for stage in self.stages)

    def __iter__(self) -> Iterator[tuple[str, int]]:
        """Draws from where the schedule stands; every draw counts at once."""
        while (drawn := self.draw()) is not None:
            yield drawn

    @property
    def stage(self) -> str | None:
        """Name of the stage that the next draw belongs to; None after the last."""
        self._enter_stage()
        return self.stages[self._stage].name if self._stage < len(self.stages) else None

    @property
    def position(self) -> int:
        """Draws so far."""
        return sum(self._totals.values())

    def counts(self) -> dict[str, dict[str, int]]:
        """Draws so far: stage -> source -> number."""
        return {stage.name: dict(counts) for stage, counts in zip(self.stages, self._counts, strict=True)}

    def draw(self) -> tuple[str, int] | None:
        """The next (source, index in the source), or None at the end."""
        self._enter_stage()
        if self._stage == len(self.stages):
            return None
        source = self._next_source()
        self._drawn += 1
        self._counts[self._stage][source] += 1
        index = self._index(source, self._totals[source])
        self._totals[source] += 1
        return source, index

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule stands, as JSON can hold it."""
        return {"identity": self._identity(), "counts": [dict(counts) for counts in self._counts]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes to where `state` was taken.

        Raises:
            DataError: it was taken from a schedule of other sources, sizes, stages or seed.
        """
        if state["identity"] != self._identity():
            raise DataError(
                "the checkpoint was written for another mixture: sources, their numbers of clips, stages or seed have "
                "changed since; start over with --fresh, or put the data back as it was"
            )
        self._counts = [dict(counts) for counts in state["counts"]]
        self._totals = {source: sum(counts.get(source, 0) for counts in self._counts) for source in self.sizes}
        self._stage, self._drawn = 0, sum(self._counts[0].values()) if self._counts else 0
        self._enter_stage()

    def _enter_stage(self) -> None:
        while self._stage < len(self.stages) and self._drawn >= self.stages[self._stage].num_draws:
            self._stage += 1
            self._drawn = sum(self._counts[self._stage].values()) if self._stage < len(self.stages) else 0

    def _next_source(self) -> str:
        weights, counts = self._weights[self._stage], self._counts[self._stage]
        if len(weights) == 1:
            return next(iter(weights))
        threshold = 1 / (2 * len(weights) - 2)
        best, best_deadline = "", float("inf")
        for source, weight in weights.items():
            owed = weight * (self._drawn + 1) - counts[source]
            # only a source that is owed enough may be drawn; of these the one that would fall behind first
            deadline = (1 - threshold - owed) / weight
            if owed >= threshold - _EPSILON and deadline < best_deadline - _EPSILON:
                best, best_deadline = source, deadline
        assert best, "weights sum to one, so at least one source is owed 1/K"
        return best

    def _index(self, source: str, drawn: int) -> int:
        number, place = divmod(drawn, self.sizes[source])
        cached = self._passes.get(source)
        if cached is None or cached[0] != number:
            rng = np.random.default_rng([self.seed, zlib.crc32(source.encode()), number])
            cached = self._passes[source] = (number, rng.permutation(self.sizes[source]))
        return int(cached[1][place])

    def _identity(self) -> dict[str, Any]:
        stages = [
            [stage.name, stage.num_draws, weights] for stage, weights in zip(self.stages, self._weights, strict=True)
        ]
        return {"seed": self.seed, "sizes": self.sizes, "stages": stages}


def plan_stages(data: DataConfig, num_steps: int, batch_size: int) -> list[Stage]:
    """The stages of a training run of `num_steps` steps; boundaries fall on the nearest step.

    Raises:
        DataError: a stage is left without a step.
    """
    equal = dict.fromkeys(data.sources, 1.0)
    if data.stages is None:
        return [Stage("all", num_steps * batch_size, equal)]
    stages: list[Stage] = []
    begin, share = 0, 0.0
    for stage in data.stages:
        share += stage.fraction
        end = round(share * num_steps)
        if end <= begin:
            raise DataError(
                f"data.stages.{stage.name}.fraction: {stage.fraction:g} of {num_steps} steps is no step at all; raise "
                "it, or train for more steps"
            )
        weights = equal if stage.weights is None else dict(stage.weights)
        stages.append(Stage(stage.name, (end - begin) * batch_size, weights))
        begin = end
    return stages


def _normalise(stage: Stage, sizes: Mapping[str, int]) -> dict[str, float]:
    weights = {source: float(weight) for source, weight in stage.weights.items() if weight > 0}
    empty = [source for source in weights if sizes.get(source, 0) < 1]
    if empty:
        raise DataError(
            f"data.stages.{stage.name}.weights: {', '.join(empty)} has no clip to draw; add clips, or give it weight 0"
        )
    if not weights:
        raise DataError(f"data.stages.{stage.name}.weights: every weight is 0; give one source a positive weight")
    total = sum(weights.values())
    return {source: weight / total for source, weight in sorted(weights.items())}
