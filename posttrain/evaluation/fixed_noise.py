"""The validation loss that can be compared: fixed clips, fixed noise levels, fixed noise.

The training loss of a diffusion model is mostly the luck of its noise. Here every clip meets the same four levels
(the quartile midpoints of the family's published distribution) and the same noise at every step of every trial, with
the family's own number of latent frames given, so a difference between two values is one between two models.
"""

import hashlib
from collections.abc import Sequence

import torch

from posttrain.data import Sample
from posttrain.evaluation.ranks import gather, turns
from posttrain.models.base import Noise, VideoFamily
from posttrain.models.encoding import EncodingStore
from posttrain.models.loading import evaluating

NUM_LEVELS = 4  # of the published distribution, whatever a trial trains with: trials must stay comparable


def fixed_noise(latents_CThw: torch.Tensor, sigmas: torch.Tensor, name: str, num_condition: int) -> Noise:
    """One draw for each level, from a seed made of `name`: the same for a clip whatever set it is in."""
    seed = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=7).digest(), "big")
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn((len(sigmas), *latents_CThw.shape), generator=generator)
    return Noise(sigmas, noise, torch.full((len(sigmas),), num_condition))


def repeated(controls_KCThw: torch.Tensor | None, num: int, device: torch.device) -> torch.Tensor | None:
    """The controls of one clip for `num` noise levels, (num, K, C, T, h, w); None where the family takes none."""
    if controls_KCThw is None:
        return None
    return controls_KCThw.to(device).expand(num, *controls_KCThw.shape)


@torch.no_grad()
def validation_loss(family: VideoFamily, store: EncodingStore, samples: Sequence[Sample]) -> torch.Tensor:
    """The family's loss per clip, mean over the noise levels, (N,); shared between the workers of a trial."""
    sigmas = family.noise_levels.midpoints(NUM_LEVELS)
    losses_N = torch.zeros(len(samples), device=family.device)
    with evaluating(family.modules.values()):
        for position, counts in turns(len(samples)):
            sample = samples[position]
            latents_CThw = store.latents(sample)
            noise = fixed_noise(latents_CThw, sigmas, sample.id, family.num_given).to(family.device)
            latents = latents_CThw.to(family.device).expand(len(sigmas), *latents_CThw.shape)
            prompts = store.prompt(sample.caption).to(family.device).expand(len(sigmas), -1, -1)
            controls = repeated(store.controls(sample), len(sigmas), family.device)
            loss = family.loss(latents, prompts, noise, controls).mean()
            if counts:
                losses_N[position] = loss
    return gather(losses_N)
