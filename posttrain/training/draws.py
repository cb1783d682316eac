"""The order of a trial: which sample is drawn when, from the seed and the mixture alone.

Nothing depends on a global generator, on the number of workers or on where a run was interrupted, so two workers see
together what one sees, and a resumed run what an uninterrupted one does.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from posttrain.data import MixtureSchedule, Pool, Stage
from posttrain.data.stages import eligible


class Draws:
    """The draws of a schedule over samples of any kind; positions are asked for in ascending order.

    Args:
        samples: source -> its samples.
        pools: what the stages weigh, by key; each source as a whole where there are none.
    """

    def __init__(
        self,
        seed: int,
        stages: Sequence[Stage],
        samples: Mapping[str, Sequence[Any]],
        pools: Mapping[str, Pool] | None = None,
    ) -> None:
        self.seed = seed
        self.samples = samples
        self.stages = list(stages)
        self.pools = dict(pools or {source: Pool.whole(source, len(each)) for source, each in samples.items()})
        self._schedule = self._new_schedule()
        self._position = 0
        self._tally = Tally(self._new_schedule(), self.pools, samples)

    def __len__(self) -> int:
        return sum(stage.num_draws for stage in self.stages)

    def sample(self, position: int) -> Any:
        """The sample of one draw."""
        if position < self._position:
            self._schedule, self._position = self._new_schedule(), 0
        while self._position <= position:
            drawn = self._schedule.draw()
            assert drawn is not None, "a position below len(self)"
            pool, index = drawn
            self._position += 1
        source, place = self.pools[pool].place(index)
        return self.samples[source][place]

    def stage(self, position: int) -> Stage:
        """The stage of one draw; the last one for positions after the end."""
        for stage in self.stages:
            if position < stage.num_draws:
                return stage
            position -= stage.num_draws
        return self.stages[-1]

    def tally(self, num_draws: int) -> "Tally":
        """What was drawn among the first `num_draws`; cheap where each question asks for more than the one before."""
        if num_draws < self._tally.position:
            self._tally = Tally(self._new_schedule(), self.pools, self.samples)
        self._tally.go_on(num_draws)
        return self._tally

    def realised(self, num_draws: int) -> dict[str, dict[str, int]]:
        """Samples drawn by stage and source among the first `num_draws`."""
        return self.tally(num_draws).counts()

    def _new_schedule(self) -> MixtureSchedule:
        return MixtureSchedule({key: len(pool) for key, pool in self.pools.items()}, self.stages, self.seed)


class Tally:
    """Counts how often each sample was drawn in each stage; it walks beside the training and never goes back."""

    def __init__(
        self, schedule: MixtureSchedule, pools: Mapping[str, Pool], samples: Mapping[str, Sequence[Any]]
    ) -> None:
        self._schedule = schedule
        self._pools = pools
        self._samples = samples
        self._eligible = [eligible(stage, pools) for stage in schedule.stages]
        self._counts = [dict.fromkeys(sources, 0) for sources in self._eligible]
        self._drawn: list[dict[str, npt.NDArray[np.int64]]] = [
            {source: np.zeros(len(samples[source]), np.int64) for source in sources} for sources in self._eligible
        ]
        self.position = 0

    def go_on(self, num_draws: int) -> None:
        """Counts up to `num_draws`, or to the end."""
        while self.position < num_draws:
            stage = self._schedule.stage_index
            if stage is None:
                return
            drawn = self._schedule.draw()
            assert drawn is not None, "the schedule is in a stage"
            source, place = self._pools[drawn[0]].place(drawn[1])
            self._counts[stage][source] += 1
            self._drawn[stage][source][place] += 1
            self.position += 1

    def counts(self) -> dict[str, dict[str, int]]:
        """Stage -> source -> draws."""
        return {stage.name: dict(counts) for stage, counts in zip(self._schedule.stages, self._counts, strict=True)}

    def epochs(self) -> dict[str, dict[str, float]]:
        """Stage -> source -> draws of each sample that the stage may draw, on average."""
        return {
            stage.name: {source: counts[source] / there[source] for source in counts}
            for stage, counts, there in zip(self._schedule.stages, self._counts, self._eligible, strict=True)
        }

    def drawn(self) -> dict[str, dict[str, list[tuple[Any, int]]]]:
        """Stage -> source -> the samples that were drawn, each with how often."""
        return {
            stage.name: {
                source: [(self._samples[source][place], int(times[place])) for place in np.flatnonzero(times).tolist()]
                for source, times in drawn.items()
            }
            for stage, drawn in zip(self._schedule.stages, self._drawn, strict=True)
        }

    def curves(self) -> dict[str, float]:
        """Per source its share of all draws so far, and how often each of its samples was drawn on average."""
        sources = dict.fromkeys(source for there in self._eligible for source in there)
        epochs = list(self.epochs().values())
        found: dict[str, float] = {}
        for source in sources:
            count = sum(counts.get(source, 0) for counts in self._counts)
            found[f"mixture/share/{source}"] = count / max(1, self.position)
            found[f"mixture/epochs/{source}"] = sum(stage.get(source, 0.0) for stage in epochs)
        return found


def draw_seed(seed: int, position: int) -> int:
    """A seed for one draw, unrelated between neighbours."""
    return int.from_bytes(hashlib.blake2b(f"{seed}:{position}".encode(), digest_size=7).digest(), "big")
