"""What a diffusion trial reads at each draw: latents and prompt of the sample, and noise from the draw's own seed."""

from typing import Any

import torch
from torch.utils.data import Dataset

from posttrain.config import TrainingConfig
from posttrain.models.catalog import conditioning_of
from posttrain.models.encoding import EncodingStore
from posttrain.training.draws import Draws, draw_seed

Item = dict[str, torch.Tensor]


class PlanDataset(Dataset[Item]):
    """Item i is the i-th draw with its own noise."""

    def __init__(
        self, training: TrainingConfig, draws: Draws, store: EncodingStore, *, caption_dropout: float = 0.0
    ) -> None:
        self.training = training
        self.draws = draws
        self.store = store
        self.caption_dropout = caption_dropout
        family = store.family
        self._noise_levels = family.noise_levels.shifted(training.shift)
        self._conditioning = conditioning_of(training.conditioning_frames, family.generation, family.clip)

    def __len__(self) -> int:
        return len(self.draws)

    def __getitem__(self, position: int) -> Item:
        sample: Any = self.draws.sample(position)
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


def collate(items: list[Item]) -> Item:
    """Stacks draws along B."""
    return {name: torch.stack([item[name] for item in items]) for name in items[0]}
