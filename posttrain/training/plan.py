"""What a diffusion trial reads at each draw: a view of the sample, and noise from the draw's own seed."""

from collections import Counter
from typing import Any

import torch
from torch.utils.data import Dataset

from posttrain.config import TrialConfig
from posttrain.config.augment import by_type
from posttrain.models.catalog import conditioning_of
from posttrain.models.encoding import EncodingStore
from posttrain.training.augmented import Augmenter, Reading, samples_left_alone
from posttrain.training.draws import Draws, draw_seed

Item = dict[str, torch.Tensor]


class PlanDataset(Dataset[Item]):
    """Item i is the i-th draw with its own noise."""

    def __init__(self, config: TrialConfig, draws: Draws, store: EncodingStore) -> None:
        self.training = config.training
        self.data = config.data
        self.draws = draws
        self.store = store
        types = by_type(config.data.augmentations)
        self._caption_dropout = types["caption_dropout"].probability if "caption_dropout" in types else 0.0
        self._noises_given = "conditioning_noise" in types
        self._augmenter = Augmenter(config.data, config.training.seed)
        family = store.family
        self._noise_levels = family.noise_levels.shifted(config.training.shift)
        self._conditioning = conditioning_of(config.training.conditioning_frames, family.generation, family.clip)

    def __len__(self) -> int:
        return len(self.draws)

    def __getitem__(self, position: int) -> Item:
        sample: Any = self.draws.sample(position)
        reading = self._reading(sample, position)
        transform = reading.view.transform
        generator = self._generator(position)
        latents_CThw = self.store.latents(sample, transform)
        prompt_LD = self.store.prompt(reading.caption)
        if self._drops_caption(generator):
            prompt_LD = torch.zeros_like(prompt_LD)
        frames, shares = zip(*sorted(self._conditioning.items()), strict=True)
        choice = torch.multinomial(torch.tensor(shares), 1, generator=generator)
        controls_KCThw = self.store.controls(sample, transform)
        controls = {} if controls_KCThw is None else {"controls_BKCThw": controls_KCThw}
        noise_on_given = {"given_sigmas_B": torch.tensor(reading.given_sigma)} if self._noises_given else {}
        return {
            **controls,
            **noise_on_given,
            "latents_BCThw": latents_CThw,
            "prompts_BLD": prompt_LD,
            "sigmas_B": self._noise_levels.draw(1, generator)[0],
            "noise_BCThw": torch.randn(latents_CThw.shape, generator=generator),
            "num_condition_B": torch.tensor(frames)[choice][0],
        }

    def augmented(self, num_draws: int) -> dict[str, dict[str, Any]]:
        """What the augmentations did: `draws` by type among the first `num_draws`, and samples `left_alone`, and why.

        A type that is listed and acted on no draw is there with 0.
        """
        if not self.data.augmentations:
            return {}
        draws: Counter[str] = Counter()
        for position in range(num_draws):
            draws.update(self._reading(self.draws.sample(position), position).types)
            draws["caption_dropout"] += self._drops_caption(self._generator(position))
        listed = {name: draws[name] for name in by_type(self.data.augmentations)}
        samples = [sample for samples in self.draws.samples.values() for sample in samples]
        return {"draws": listed, "left_alone": samples_left_alone(samples, self.data)}

    def _reading(self, sample: Any, position: int) -> Reading:
        return self._augmenter.reading(sample, self.draws.stage(position).name, position)

    def _generator(self, position: int) -> torch.Generator:
        return torch.Generator().manual_seed(draw_seed(self.training.seed, position))

    def _drops_caption(self, generator: torch.Generator) -> bool:
        """The first number of a draw's generator."""
        return bool(torch.rand((), generator=generator) < self._caption_dropout)


def collate(items: list[Item]) -> Item:
    """Stacks draws along B."""
    return {name: torch.stack([item[name] for item in items]) for name in items[0]}
