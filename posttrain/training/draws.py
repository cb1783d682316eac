"""The order of a trial: which sample is drawn when, from the seed and the mixture alone.

Nothing depends on a global generator, on the number of workers or on where a run was interrupted, so two workers see
together what one sees, and a resumed run what an uninterrupted one does.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from posttrain.data import MixtureSchedule, Stage


class Draws:
    """The draws of a schedule over samples of any kind; positions are asked for in ascending order."""

    def __init__(self, seed: int, stages: Sequence[Stage], samples: Mapping[str, Sequence[Any]]) -> None:
        self.seed = seed
        self.samples = samples
        self._stages = stages
        self._schedule = self._new_schedule()
        self._position = 0

    def __len__(self) -> int:
        return sum(stage.num_draws for stage in self._stages)

    def sample(self, position: int) -> Any:
        """The sample of one draw."""
        if position < self._position:
            self._schedule, self._position = self._new_schedule(), 0
        while self._position <= position:
            drawn = self._schedule.draw()
            assert drawn is not None, "a position below len(self)"
            source, index = drawn
            self._position += 1
        return self.samples[source][index]

    def stage(self, position: int) -> str:
        """The name of the stage that a draw belongs to."""
        for stage in self._stages:
            if position < stage.num_draws:
                return stage.name
            position -= stage.num_draws
        raise IndexError(position)

    def realised(self, num_draws: int) -> dict[str, dict[str, int]]:
        """Samples drawn by stage and source among the first `num_draws`."""
        schedule = self._new_schedule()
        for _ in range(num_draws):
            schedule.draw()
        return schedule.counts()

    def _new_schedule(self) -> MixtureSchedule:
        sizes = {source: len(samples) for source, samples in self.samples.items()}
        return MixtureSchedule(sizes, self._stages, self.seed)


def draw_seed(seed: int, position: int) -> int:
    """A seed for one draw, unrelated between neighbours."""
    return int.from_bytes(hashlib.blake2b(f"{seed}:{position}".encode(), digest_size=7).digest(), "big")
