"""PSNR of the continuation: the pipeline's own sampler goes on from a held-out clip's first frame.

A family that samples from the text alone is given none, and all its frames count.

The comparison is with the decoded file, so the codec's loss is in the number: `codec_psnr`, the same clips only
encoded and decoded, is the most that any training can reach.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from posttrain.data import Sample, decode
from posttrain.evaluation.ranks import gather, own_share, turns
from posttrain.models.base import Frames, VideoFamily
from posttrain.models.encoding import EncodingStore

_SEED = 0  # of the sampler's noise: the same for every trial


@dataclass(frozen=True)
class Continuations:
    """PSNR per clip in dB, (N,), and the frames of this worker's clips: (true, sampled) in T x H x W x 3."""

    psnr_N: torch.Tensor
    frames: list[tuple[Frames, Frames]]


def psnr(frames: Frames, reference: Frames) -> float:
    """Peak signal-to-noise ratio in dB of uint8 frames; higher is better, 100 for equal frames."""
    error = np.mean((frames.astype(np.float32) - reference.astype(np.float32)) ** 2)
    return 100.0 if error == 0 else float(min(100.0, 10 * np.log10(255.0**2 / error)))


def continuations(
    family: VideoFamily, store: EncodingStore, samples: Sequence[Sample], *, sampler_steps: int
) -> Continuations:
    """Continues each clip from the frame that the family is given, which is left out of the PSNR."""
    psnr_N = torch.zeros(len(samples), device=family.device)
    frames = []
    for position, counts in turns(len(samples)):
        sample = samples[position]
        true = decode(sample.video, family.clip, sample.start_s)
        latents = family.continue_clip(
            true,
            store.prompt(sample.caption),
            steps=sampler_steps,
            seed=_SEED + position,
            controls_KCThw=store.controls(sample),
        )
        if not counts:
            continue
        sampled = family.decode_latents(latents)
        psnr_N[position] = psnr(sampled[family.num_given :], true[family.num_given :])
        frames.append((true, sampled))
    return Continuations(gather(psnr_N), frames)


def codec_psnr(family: VideoFamily, store: EncodingStore, samples: Sequence[Sample]) -> torch.Tensor:
    """PSNR per clip in dB of the codec alone, (N,): the ceiling of `continuations`."""
    psnr_N = torch.zeros(len(samples), device=family.device)
    for position in own_share(len(samples)):
        sample = samples[position]
        true = decode(sample.video, family.clip, sample.start_s)
        decoded = family.decode_latents(store.latents(sample))
        psnr_N[position] = psnr(decoded[family.num_given :], true[family.num_given :])
    return gather(psnr_N)
