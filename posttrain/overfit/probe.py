"""Measurements on the few samples of the gate: fixed-noise fit, closure by the pipeline's sampler, caption contrast.

The thresholds of the sweep file were calibrated on sound and on deliberately broken trainings of tiny checkpoints.
"""

from collections.abc import Sequence

import torch

from posttrain.data import Sample, decode
from posttrain.evaluation.fixed_noise import fixed_noise
from posttrain.models.base import Noise, VideoFamily
from posttrain.models.encoding import EncodingStore

# Below 0.5 an irreducible part of the loss remains; towards 1 all depends on the prompt.
FIT_LEVELS = (0.5, 0.7, 0.9)
# Where the prompt decides what the clip becomes.
CONTRAST_LEVELS = (0.9, 0.95)
CLOSURE_STEPS = 8


class FewSamples:
    """The gate's samples with their encodings on the device."""

    def __init__(self, family: VideoFamily, store: EncodingStore, samples: Sequence[Sample]) -> None:
        self.family = family
        self.samples = list(samples)
        self.latents = [store.latents(sample).to(family.device) for sample in samples]
        self.prompts = [store.prompt(sample.caption).to(family.device) for sample in samples]

    @torch.no_grad()
    def fit(self) -> float:
        """The loss over the fixed noise levels, the first latent frame given."""
        return self._mean_loss(FIT_LEVELS, self.prompts, num_condition=1)

    @torch.no_grad()
    def scalar_floor(self) -> float:
        """The loss over the same noise that needs no model: the best scaling of the input."""
        losses = [
            self.family.scalar_floor(self._expand(latents, FIT_LEVELS), self._noise(position, FIT_LEVELS, 1)).mean()
            for position, latents in enumerate(self.latents)
        ]
        return float(torch.stack(losses).mean())

    @torch.no_grad()
    def contrast(self, num_condition: int) -> float | None:
        """Loss with each other's captions over loss with the right ones; None when all captions are equal."""
        order = _rolled([sample.caption for sample in self.samples])
        if order is None:
            return None
        right = self._mean_loss(CONTRAST_LEVELS, self.prompts, num_condition=num_condition)
        wrong = self._mean_loss(CONTRAST_LEVELS, [self.prompts[i] for i in order], num_condition=num_condition)
        return wrong / right

    def closure(self) -> float:
        """Relative squared error of sampled latents on the frames that were not given, mean over the samples."""
        errors = []
        for position, (sample, latents) in enumerate(zip(self.samples, self.latents, strict=True)):
            frames = decode(sample.video, self.family.clip, sample.start_s)
            sampled = self.family.continue_clip(frames, self.prompts[position], steps=CLOSURE_STEPS, seed=position).to(
                latents.device
            )
            true = latents[:, 1:]
            errors.append(((sampled[:, 1:] - true) ** 2).mean() / true.var())
        return float(torch.stack(errors).mean())

    def _mean_loss(self, levels: tuple[float, ...], prompts: Sequence[torch.Tensor], *, num_condition: int) -> float:
        transformer = self.family.transformer
        was_training = transformer.training
        transformer.eval()
        losses = [
            self.family.loss(
                self._expand(latents, levels),
                prompt.expand(len(levels), -1, -1),
                self._noise(position, levels, num_condition),
            ).mean()
            for position, (latents, prompt) in enumerate(zip(self.latents, prompts, strict=True))
        ]
        transformer.train(was_training)
        return float(torch.stack(losses).mean())

    def _noise(self, position: int, levels: tuple[float, ...], num_condition: int) -> Noise:
        name = f"gate:{position}:{levels}"
        noise = fixed_noise(self.latents[position].cpu(), torch.tensor(levels), name, num_condition)
        return noise.to(self.family.device)

    @staticmethod
    def _expand(latents_CThw: torch.Tensor, levels: tuple[float, ...]) -> torch.Tensor:
        return latents_CThw.expand(len(levels), *latents_CThw.shape)


def _rolled(captions: list[str]) -> list[int] | None:
    """For each caption the next sample with a different one; None when there is none."""
    order = []
    for position, caption in enumerate(captions):
        following = [*range(position + 1, len(captions)), *range(position)]
        other = next((i for i in following if captions[i] != caption), None)
        if other is None:
            return None
        order.append(other)
    return order
