"""Measurements on the few samples of the gate: fixed-noise fit, closure by the pipeline's sampler, caption contrast.

The thresholds of the sweep file were calibrated on sound and on deliberately broken trainings of tiny checkpoints.
"""

from collections.abc import Mapping, Sequence

import torch

from posttrain.data import Sample, decode
from posttrain.data.alike_captions import hardly_differ
from posttrain.data.controls import identity
from posttrain.evaluation.fixed_noise import fixed_noise, repeated
from posttrain.models.base import Noise, VideoFamily
from posttrain.models.encoding import EncodingStore
from posttrain.models.loading import evaluating

# Noise levels for latents of std 1; a family of another scale meets the same ratios of noise to data.
# Below 0.5 an irreducible part of the loss remains; towards 1 all depends on the prompt.
FIT_LEVELS = (0.5, 0.7, 0.9)
# Where the prompt decides what the clip becomes.
CONTRAST_LEVELS = (0.9, 0.95)
CLOSURE_STEPS = 8
# Prompt embeddings that differ by less, relative to their size, are those of captions that were cut before they differ.
SAME_PROMPT = 0.02


class FewSamples:
    """The gate's samples with their encodings on the device."""

    def __init__(self, family: VideoFamily, store: EncodingStore, samples: Sequence[Sample]) -> None:
        self.family = family
        self.samples = list(samples)
        self.latents = [store.latents(sample).to(family.device) for sample in samples]
        self.prompts = [store.prompt(sample.caption).to(family.device) for sample in samples]
        self.controls = [store.controls(sample) for sample in samples]

    @property
    def guide(self) -> str:
        """What `contrast` exchanges between the samples."""
        return "control" if self.family.control_names else "caption"

    @torch.no_grad()
    def fit(self) -> float:
        """The loss over the fixed noise levels, the family's own number of latent frames given."""
        same = {position: position for position in range(len(self.samples))}
        return self._mean_loss(FIT_LEVELS, same, num_condition=self.family.num_given)

    @torch.no_grad()
    def scalar_floor(self) -> float:
        """The loss over the same noise that needs no model: the best scaling of the input."""
        num_given = self.family.num_given
        losses = [
            self.family.scalar_floor(
                self._expand(latents, FIT_LEVELS), self._noise(position, FIT_LEVELS, num_given)
            ).mean()
            for position, latents in enumerate(self.latents)
        ]
        return float(torch.stack(losses).mean())

    @torch.no_grad()
    def contrast(self, num_condition: int) -> float | None:
        """Loss with each other's captions over loss with the right ones; None where no two captions differ enough.

        For a family that takes controls, with each other's controls: they may leave the caption nothing to say.
        """
        others = self.others()
        if not others:
            return None
        same = {position: position for position in others}
        right = self._mean_loss(CONTRAST_LEVELS, same, num_condition=num_condition)
        wrong = self._mean_loss(CONTRAST_LEVELS, others, num_condition=num_condition)
        return wrong / right

    def others(self) -> dict[int, int]:
        """Sample -> the next one that another caption, or control, guides; samples without such a one are left out."""
        count = len(self.samples)
        found = {}
        for position in range(count):
            following = (other % count for other in range(position + 1, position + count))
            other = next((other for other in following if self._told_apart(position, other)), None)
            if other is not None:
                found[position] = other
        return found

    def contrast_note(self) -> str:
        """On how many samples `contrast` is judged, where it is not all of them."""
        count, judged = len(self.samples), len(self.others())
        if judged == count:
            return ""
        if not judged and len({self._guide(sample) for sample in self.samples}) == 1:
            return f"skipped: all {self.guide}s are equal"
        if not judged:
            return f"skipped: {count} of {count} {self.guide}s hardly differ"
        return f"of {judged} samples: {count - judged} of {count} {self.guide}s hardly differ from the others"

    def _told_apart(self, one: int, other: int) -> bool:
        """Whether what guides two samples differs enough for a model to tell them apart."""
        first, second = self._guide(self.samples[one]), self._guide(self.samples[other])
        if self.family.control_names:
            return first != second
        return not hardly_differ(first, second) and _distance(self.prompts[one], self.prompts[other]) > SAME_PROMPT

    def _guide(self, sample: Sample) -> str:
        """What is told apart by `contrast`."""
        names = self.family.control_names
        return ":".join(identity(name, sample) for name in names) if names else sample.caption

    def closure(self) -> float:
        """Relative squared error of sampled latents on the frames that were not given, mean over the samples."""
        errors = []
        for position, (sample, latents) in enumerate(zip(self.samples, self.latents, strict=True)):
            frames = decode(sample.video, self.family.clip, sample.start_s)
            sampled = self.family.continue_clip(
                frames,
                self.prompts[position],
                steps=CLOSURE_STEPS,
                seed=position,
                controls_KCThw=self.controls[position],
            ).to(latents.device)
            true = latents[:, self.family.num_given :]
            errors.append(((sampled[:, self.family.num_given :] - true) ** 2).mean() / true.var())
        return float(torch.stack(errors).mean())

    def _mean_loss(self, levels: tuple[float, ...], guides: Mapping[int, int], *, num_condition: int) -> float:
        """The loss of the samples in `guides`, each guided by the caption, or the controls, of the one named there."""
        with evaluating(self.family.modules.values()):
            losses = [
                self.family.loss(
                    self._expand(self.latents[position], levels),
                    self.prompts[position if self.family.control_names else guide].expand(len(levels), -1, -1),
                    self._noise(position, levels, num_condition),
                    repeated(self.controls[guide], len(levels), self.family.device),
                ).mean()
                for position, guide in guides.items()
            ]
        return float(torch.stack(losses).mean())

    def _noise(self, position: int, levels: tuple[float, ...], num_condition: int) -> Noise:
        name = f"gate:{position}:{levels}"
        sigmas = torch.tensor([self.family.noise_levels.matching(level) for level in levels])
        noise = fixed_noise(self.latents[position].cpu(), sigmas, name, num_condition)
        return noise.to(self.family.device)

    @staticmethod
    def _expand(latents_CThw: torch.Tensor, levels: tuple[float, ...]) -> torch.Tensor:
        return latents_CThw.expand(len(levels), *latents_CThw.shape)


def few_sample_conditioning(family: VideoFamily) -> Mapping[int, float]:
    """The shares of given latent frames in the gate's training.

    0 given frames is where the caption decides alone: without it the contrast could not be asked for.
    """
    if family.num_given == 0:
        return {0: 1.0}
    most = min(2, family.generation.latent_frames(family.clip) - 1)
    return dict.fromkeys(range(most + 1), 1 / (most + 1))


def _distance(one_LD: torch.Tensor, other_LD: torch.Tensor) -> float:
    """How far two prompt embeddings lie apart, relative to their size; 1 where their lengths differ."""
    if one_LD.shape != other_LD.shape:
        return 1.0
    size = torch.maximum(one_LD.norm(), other_LD.norm()).clamp_min(torch.finfo(torch.float32).tiny)
    return float((one_LD - other_LD).norm() / size)
