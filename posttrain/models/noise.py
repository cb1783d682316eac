"""Noise: how strong, which, and what a network makes of it. Pure maths over latents (B, C, T, h, w).

A noise level t lies in (0, 1) for every family and 1 is pure noise. Rectified flow mixes (1 - t) of the clip with t of
the noise; EDM adds noise of strength s = t / (1 - t), which is the same mixture up to its scale.
"""

import math
from dataclasses import dataclass, replace
from statistics import NormalDist

import torch


@dataclass(frozen=True)
class Noise:
    """The random part of a loss, drawn outside the model so that it can be held fixed.

    Attributes:
        sigmas_B: noise levels in (0, 1); 1 is pure noise.
        noise_BCThw: standard normal.
        num_condition_B: leading latent frames that are given and left out of the loss; at least one frame of T must
            remain.
        given_sigmas_B: the noise on given frames, in standard deviations of clean latents; None gives them clean. It
            is of `noise_BCThw`, which nothing else reads in these frames.
    """

    sigmas_B: torch.Tensor
    noise_BCThw: torch.Tensor
    num_condition_B: torch.Tensor
    given_sigmas_B: torch.Tensor | None = None

    def to(self, device: torch.device) -> "Noise":
        """The same draws on `device`."""
        given_sigmas_B = None if self.given_sigmas_B is None else self.given_sigmas_B.to(device)
        return Noise(
            self.sigmas_B.to(device), self.noise_BCThw.to(device), self.num_condition_B.to(device), given_sigmas_B
        )


@dataclass(frozen=True)
class NoiseLevels:
    """A logit-normal distribution of noise levels: t = sigmoid(mean + std * N(0, 1)).

    A flow shift f is mean = log f: t = f u / (1 + (f - 1) u) with u = sigmoid(std * N(0, 1)). In EDM's terms,
    log s ~ N(mean, std).

    Attributes:
        data_std: the standard deviation of the clean latents: what a noise level has to be compared with.
    """

    mean: float
    std: float = 1.0
    data_std: float = 1.0

    def draw(self, num: int, generator: torch.Generator) -> torch.Tensor:
        """Levels for `num` samples, (num,)."""
        return self._levels(torch.randn(num, generator=generator))

    def midpoints(self, num: int) -> torch.Tensor:
        """The midpoints of `num` bins of equal probability, (num,), ascending."""
        return self._levels(torch.tensor([NormalDist().inv_cdf((i + 0.5) / num) for i in range(num)]))

    def shifted(self, shift: float | None) -> "NoiseLevels":
        """The distribution around another flow shift; None: as published."""
        return self if shift is None else replace(self, mean=math.log(shift))

    def matching(self, level: float) -> float:
        """The level with the same ratio of noise to data as `level` has where the data's std is 1."""
        return level * self.data_std / (1 - level + level * self.data_std)

    def _levels(self, normal: torch.Tensor) -> torch.Tensor:
        u, shift = torch.sigmoid(self.std * normal), math.exp(self.mean)
        return shift * u / (1 + (shift - 1) * u)


def given_mask(latents_BCThw: torch.Tensor, noise: Noise) -> torch.Tensor:
    """1 for the latent frames that are given clean, 0 for those to predict, (B, 1, T, 1, 1)."""
    num_frames = latents_BCThw.shape[2]
    frames_T = torch.arange(num_frames, device=latents_BCThw.device)
    return (frames_T[None] < noise.num_condition_B[:, None]).to(latents_BCThw.dtype).view(-1, 1, num_frames, 1, 1)


def mixed(latents_BCThw: torch.Tensor, noise: Noise, given_B1T11: torch.Tensor) -> torch.Tensor:
    """Rectified flow's input: (1 - t) of the clip and t of the noise, given frames clean but for their own noise."""
    sigma = noise.sigmas_B.view(-1, 1, 1, 1, 1)
    noisy = (1 - sigma) * latents_BCThw + sigma * noise.noise_BCThw
    given = latents_BCThw
    if noise.given_sigmas_B is not None:
        given = latents_BCThw + noise.given_sigmas_B.view(-1, 1, 1, 1, 1) * noise.noise_BCThw
    return given_B1T11 * given + (1 - given_B1T11) * noisy


def masked_mse(prediction: torch.Tensor, target: torch.Tensor, given_B1T11: torch.Tensor) -> torch.Tensor:
    """Mean squared error per sample over the frames that are not given, (B,)."""
    error = (prediction - target) ** 2 * (1 - given_B1T11)
    _, channels, _, height, width = prediction.shape
    counted = (1 - given_B1T11).flatten(1).sum(1) * channels * height * width
    return error.flatten(1).sum(1) / counted


def best_scaling_error(inputs: torch.Tensor, target: torch.Tensor, given_B1T11: torch.Tensor) -> torch.Tensor:
    """The masked error of target = a * inputs with the best a of each sample, (B,)."""
    inputs, target = inputs * (1 - given_B1T11), target * (1 - given_B1T11)
    scale = (inputs * target).flatten(1).sum(1) / (inputs**2).flatten(1).sum(1)
    return masked_mse(inputs * scale.view(-1, 1, 1, 1, 1), target, given_B1T11)
