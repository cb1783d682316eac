"""Which sample comes next: stages with mixture weights over pools, exactly kept and exactly resumable.

At every prefix of a stage each pool (a source, or a group of samples, see `pools`) has been drawn within one sample of
its weight times the number of draws. That is the chairman assignment problem; the rule is Tijdeman's (Discrete
Mathematics 32, 1980), whose deviation is at most 1 - 1/(2K - 2) for K pools. Smooth weighted round-robin, the usual
choice, does not keep that bound for many pools. The rule is the one of earliest deadlines: the pool's next sample may
be drawn from a certain draw on, and of those that may the one is drawn whose deadline comes first, so two heaps find
it in O(log K).

Inside a pool samples come in passes: each pass is a permutation seeded by (seed, pool, pass), so it holds each sample
once, and passes run on across stages. The whole state is the number of draws so far of each stage and pool; the memory
is that of one permutation a pool, whatever the number of steps.
"""

import heapq
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from posttrain.errors import DataError

# Ties in the arithmetic of weights are broken by order, not by rounding.
_EPSILON = 1e-9
_DIGITS = 7  # of a deadline, in draws


@dataclass(frozen=True)
class Stage:
    """`num_draws` samples drawn with `weights` per pool; a pool of weight 0 or left out is not drawn.

    Attributes:
        groups: pool -> the source, or the value of the stage's column, that the file weighs it by.
        learning_rate_factor: what the learning rate is multiplied by.
    """

    name: str
    num_draws: int
    weights: Mapping[str, float]
    groups: Mapping[str, str] = field(default_factory=dict)
    learning_rate_factor: float = 1.0

    @property
    def normalised(self) -> dict[str, float]:
        """The positive weights, summing to 1, in the order of the names."""
        weights = {pool: float(weight) for pool, weight in self.weights.items() if weight > 0}
        total = sum(weights.values())
        return {pool: weight / total for pool, weight in sorted(weights.items())}


class _Queue:
    """The pools of one stage by what they are owed: K pools with weights that sum to 1.

    After `drawn` draws a pool that was drawn x times is owed enough for its next one when weight * (drawn + 1) - x is
    at least t = 1 / (2K - 2), that is from draw (x + t) / weight on; its deadline is draw (x + 1 - t) / weight.
    """

    def __init__(self, weights: Mapping[str, float], counts: Mapping[str, int], drawn: int) -> None:
        self._threshold = 1 / (2 * len(weights) - 2) if len(weights) > 1 else 0.0
        self._names = list(weights)
        self._weights = list(weights.values())
        self._drawn = drawn
        self._ready: list[tuple[float, int, int]] = []  # (deadline, place, drawn so far)
        self._waiting: list[tuple[float, int, int]] = []  # (draw from which on it may be drawn, place, drawn so far)
        for place, name in enumerate(self._names):
            self._wait(place, counts[name])

    def next(self) -> str:
        """The pool of the next draw, which counts as drawn."""
        self._drawn += 1
        waiting, ready = self._waiting, self._ready
        while waiting and waiting[0][0] <= self._drawn:
            _, place, count = heapq.heappop(waiting)
            deadline = (count + 1 - self._threshold) / self._weights[place]
            heapq.heappush(ready, (round(deadline, _DIGITS), place, count))
        assert ready, "weights sum to one, so at least one pool is owed 1/K"
        _, place, count = heapq.heappop(ready)
        self._wait(place, count + 1)
        return self._names[place]

    def _wait(self, place: int, count: int) -> None:
        release = (count + self._threshold - _EPSILON) / self._weights[place]
        heapq.heappush(self._waiting, (release, place, count))


class MixtureSchedule:
    """Iterates over (pool, index in the pool); `state_dict` and `load_state_dict` resume exactly.

    Args:
        sizes: number of samples of each pool.
        stages: in their order.
        seed: of the permutations; the order of the pools does not depend on it.

    Raises:
        DataError: a stage draws from nothing, or weighs a pool that has no samples.
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
        self._queue: _Queue | None = None  # of the current stage

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
        place = self.stage_index
        return None if place is None else self.stages[place].name

    @property
    def stage_index(self) -> int | None:
        """The place in `stages` of the stage that the next draw belongs to; None after the last."""
        self._enter_stage()
        return self._stage if self._stage < len(self.stages) else None

    @property
    def position(self) -> int:
        """Draws so far."""
        return sum(self._totals.values())

    def counts(self) -> dict[str, dict[str, int]]:
        """Draws so far: stage -> pool -> number."""
        return {stage.name: dict(counts) for stage, counts in zip(self.stages, self._counts, strict=True)}

    def draw(self) -> tuple[str, int] | None:
        """The next (pool, index in the pool), or None at the end."""
        self._enter_stage()
        if self._stage == len(self.stages):
            return None
        counts = self._counts[self._stage]
        if self._queue is None:
            self._queue = _Queue(self._weights[self._stage], counts, self._drawn)
        pool = self._queue.next()
        self._drawn += 1
        counts[pool] += 1
        index = self._index(pool, self._totals[pool])
        self._totals[pool] += 1
        return pool, index

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
                "the checkpoint was written for another mixture: sources, their numbers of samples, stages or seed "
                "have changed since; start over with --fresh, or put the data back as it was"
            )
        self._counts = [dict(counts) for counts in state["counts"]]
        self._totals = {pool: sum(counts.get(pool, 0) for counts in self._counts) for pool in self.sizes}
        self._stage, self._drawn = 0, sum(self._counts[0].values()) if self._counts else 0
        self._queue = None
        self._enter_stage()

    def _enter_stage(self) -> None:
        while self._stage < len(self.stages) and self._drawn >= self.stages[self._stage].num_draws:
            self._stage += 1
            self._queue = None
            self._drawn = sum(self._counts[self._stage].values()) if self._stage < len(self.stages) else 0

    def _index(self, pool: str, drawn: int) -> int:
        number, place = divmod(drawn, self.sizes[pool])
        cached = self._passes.get(pool)
        if cached is None or cached[0] != number:
            rng = np.random.default_rng([self.seed, zlib.crc32(pool.encode()), number])
            cached = self._passes[pool] = (number, rng.permutation(self.sizes[pool]))
        return int(cached[1][place])

    def _identity(self) -> dict[str, Any]:
        stages = [
            [stage.name, stage.num_draws, weights] for stage, weights in zip(self.stages, self._weights, strict=True)
        ]
        return {"seed": self.seed, "sizes": self.sizes, "stages": stages}


def _normalise(stage: Stage, sizes: Mapping[str, int]) -> dict[str, float]:
    weights = stage.normalised
    empty = [stage.groups.get(pool, pool) for pool in weights if sizes.get(pool, 0) < 1]
    if empty:
        raise DataError(
            f"data.stages.{stage.name}.weights: {', '.join(empty)} has no clip to draw; add clips, or give it weight 0"
        )
    if not weights:
        raise DataError(f"data.stages.{stage.name}.weights: every weight is 0; give one source a positive weight")
    return weights
