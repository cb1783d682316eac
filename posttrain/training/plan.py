"""The data order of a trial: which sample, which noise, for every draw, from the seed alone.

A draw is a function of (seed, position): nothing depends on a global generator, on the number of workers or on where
a run was interrupted, so two workers see together what one sees, and a resumed run what an uninterrupted one does.
"""

import hashlib
from collections.abc import Mapping, Sequence

import torch
from torch.utils.data import Dataset

from posttrain.config import TrainingConfig
from posttrain.data import MixtureSchedule, Sample, Stage
from posttrain.models.catalog import conditioning_of
from posttrain.models.encoding import EncodingStore

Item = dict[str, torch.Tensor]


class PlanDataset(Dataset[Item]):
    """Item i is the i-th draw of the schedule with its own noise; positions are asked for in ascending order."""

    def __init__(
        self,
        training: TrainingConfig,
        stages: Sequence[Stage],
        samples: Mapping[str, Sequence[Sample]],
        store: EncodingStore,
        *,
        caption_dropout: float = 0.0,
    ) -> None:
        self.training = training
        self.samples = samples
        self.store = store
        self.caption_dropout = caption_dropout
        family = store.family
        self._noise_levels = family.noise_levels.shifted(training.shift)
        self._conditioning = conditioning_of(training.conditioning_frames, family.generation, family.clip)
        self._stages = stages
        self._schedule = self._new_schedule()
        self._position = 0

    def __len__(self) -> int:
        return sum(stage.num_draws for stage in self._stages)

    def __getitem__(self, position: int) -> Item:
        sample = self._sample(position)
        generator = torch.Generator().manual_seed(draw_seed(self.training.seed, position))
        latents_CThw = self.store.latents(sample)
        prompt_LD = self.store.prompt(sample.caption)
        if torch.rand((), generator=generator) < self.caption_dropout:
            prompt_LD = torch.zeros_like(prompt_LD)
        frames, shares = zip(*sorted(self._conditioning.items()), strict=True)
        choice = torch.multinomial(torch.tensor(shares), 1, generator=generator)
        controls_KCThw = self.store.controls(sample)
        controls = {} if controls_KCThw is None else {"controls_BKCThw": controls_KCThw}
        return {
            **controls,
            "latents_BCThw": latents_CThw,
            "prompts_BLD": prompt_LD,
            "sigmas_B": self._noise_levels.draw(1, generator)[0],
            "noise_BCThw": torch.randn(latents_CThw.shape, generator=generator),
            "num_condition_B": torch.tensor(frames)[choice][0],
        }

    def realised(self, num_draws: int) -> dict[str, dict[str, int]]:
        """Samples drawn by stage and source among the first `num_draws`."""
        schedule = self._new_schedule()
        for _ in range(num_draws):
            schedule.draw()
        return schedule.counts()

    def _sample(self, position: int) -> Sample:
        if position < self._position:
            self._schedule, self._position = self._new_schedule(), 0
        while self._position <= position:
            drawn = self._schedule.draw()
            assert drawn is not None, "a position below len(self)"
            source, index = drawn
            self._position += 1
        return self.samples[source][index]

    def _new_schedule(self) -> MixtureSchedule:
        sizes = {source: len(samples) for source, samples in self.samples.items()}
        return MixtureSchedule(sizes, self._stages, self.training.seed)


def draw_seed(seed: int, position: int) -> int:
    """A seed for one draw, unrelated between neighbours."""
    return int.from_bytes(hashlib.blake2b(f"{seed}:{position}".encode(), digest_size=7).digest(), "big")


def collate(items: list[Item]) -> Item:
    """Stacks draws along B."""
    return {name: torch.stack([item[name] for item in items]) for name in items[0]}
