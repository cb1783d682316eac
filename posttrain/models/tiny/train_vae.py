"""Makes the shipped weights of the tiny VAE again: `python -m posttrain.models.tiny.train_vae`.

A quarter of an hour on one core: single frames first, which are cheap and teach space, then clips of nine frames. It
reads both demo sets, prints the PSNR on clips that it did not train on, and is deterministic on one machine.
"""

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from posttrain.data import ClipSpec, decode, demo
from posttrain.models.tiny import vae_forward
from posttrain.models.tiny.vae import WEIGHTS, Z_DIM, new_vae, save_vae
from posttrain.models.tiny.vae_optim import initialise, optimisers

SIZE = 32
NUM_FRAMES = 9
_FILE_FRAMES = 17
_HELD_OUT_EVERY = 8
_LEARNING_RATE = 0.008
_WARMUP_STEPS = 50
# Squared error is what PSNR counts; some absolute error keeps edges sharp.
_SQUARED, _ABSOLUTE = 2.0, 0.2
_NOTE_EVERY = 250

Frames = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Phase:
    """`steps` batches of `batch_size` windows of `num_frames` frames."""

    num_frames: int
    batch_size: int
    steps: int


PHASES = (Phase(1, 32, 800), Phase(NUM_FRAMES, 8, 3000))


@dataclass(frozen=True)
class Clip:
    """A demo clip at the model's size and at twice that, THWC."""

    small: Frames
    large: Frames


def main() -> None:
    """Trains, reports and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--share", type=float, default=1.0, help="share of the full number of steps, to try it out")
    options = parser.parse_args()
    torch.set_num_threads(1)
    clips = read_clips()
    held_out = {kind: group[::_HELD_OUT_EVERY] for kind, group in clips.items()}
    training = [clip for group in clips.values() for i, clip in enumerate(group) if i % _HELD_OUT_EVERY]
    vae = train(training, held_out, options.share)
    mean_C, std_C = latent_statistics(vae, [clip for group in clips.values() for clip in group])
    save_vae(vae, mean_C, std_C, options.out)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB")


def read_clips() -> dict[str, list[Clip]]:
    """Every clip of both demo sets, by its folder."""
    roots = {"general": demo.resolve("general")}
    roots.update({folder.name: folder for folder in sorted(demo.resolve("shapes").iterdir()) if folder.is_dir()})
    specs = [ClipSpec(_FILE_FRAMES, size, size, 8.0) for size in (SIZE, 2 * SIZE)]
    return {
        name: [Clip(*(decode(video, spec) for spec in specs)) for video in sorted((root / "videos").iterdir())]
        for name, root in roots.items()
    }


def train(clips: list[Clip], held_out: dict[str, list[Clip]], share: float = 1.0, seed: int = 0) -> Any:
    """The trained VAE, in evaluation mode."""
    vae_forward.use_fast_norm()
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    vae = new_vae()
    initialise(vae)
    chosen = optimisers(vae, _LEARNING_RATE)
    rates = [optimiser.param_groups[0]["lr"] for optimiser in chosen]
    phases = [Phase(phase.num_frames, phase.batch_size, max(1, round(phase.steps * share))) for phase in PHASES]
    for step, (progress, phase) in enumerate(_schedule(phases)):
        factor = min(1.0, (step + 1) / _WARMUP_STEPS) * (0.01 + 0.99 * (0.5 + 0.5 * math.cos(math.pi * progress)))
        for optimiser, rate in zip(chosen, rates, strict=True):
            optimiser.param_groups[0]["lr"] = rate * factor
        loss = _loss(vae, _batch(clips, phase, rng))
        vae.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        for optimiser in chosen:
            optimiser.step()
        if step % _NOTE_EVERY == 0:
            print(f"step {step}, loss {loss.item():.4f}, held out: {_report(vae, held_out)}", flush=True)
    vae.eval()
    print(f"held out: {_report(vae, held_out)}", flush=True)
    return vae


@torch.no_grad()
def latent_statistics(vae: Any, clips: list[Clip]) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation per latent channel, so that normalised latents have unit variance."""
    latents = torch.cat([vae_forward.encode(vae, _tensor([clip.small[:NUM_FRAMES]]))[:, :Z_DIM] for clip in clips])
    return latents.mean((0, 2, 3, 4)), latents.std((0, 2, 3, 4))


@torch.no_grad()
def psnr(vae: Any, clips: list[Clip]) -> float:
    """Mean PSNR in dB of nine frames at the model's size."""
    values = []
    for clip in clips:
        pixels = _tensor([clip.small[:NUM_FRAMES]])
        error = (_reconstruct(vae, pixels).clamp(-1, 1) - pixels).square().mean() / 4
        values.append(-10 * math.log10(float(error)))
    return sum(values) / len(values)


def _schedule(phases: list[Phase]) -> Iterator[tuple[float, Phase]]:
    """The phase of each step, with the share of the whole work that lies before it."""
    work = [phase.steps * phase.batch_size * phase.num_frames for phase in phases]
    before = 0.0
    for phase, part in zip(phases, work, strict=True):
        for step in range(phase.steps):
            yield (before + part * step / phase.steps) / sum(work), phase
        before += part


def _loss(vae: Any, pixels: torch.Tensor) -> torch.Tensor:
    error = _reconstruct(vae, pixels) - pixels
    return _SQUARED * error.square().mean() + _ABSOLUTE * error.abs().mean()


def _reconstruct(vae: Any, pixels: torch.Tensor) -> torch.Tensor:
    return vae_forward.decode(vae, vae_forward.encode(vae, pixels)[:, :Z_DIM])


def _batch(clips: list[Clip], phase: Phase, rng: np.random.Generator) -> torch.Tensor:
    return _tensor(
        [_window(clips[int(rng.integers(len(clips)))], phase.num_frames, rng) for _ in range(phase.batch_size)]
    )


def _window(clip: Clip, num_frames: int, rng: np.random.Generator) -> Frames:
    """A window in time, mostly of the whole picture; mirrored, reversed and recoloured now and then."""
    frames = clip.small
    if rng.random() < 0.2:
        y, x = rng.integers(SIZE + 1, size=2)
        frames = clip.large[:, y : y + SIZE, x : x + SIZE]
    start = int(rng.integers(_FILE_FRAMES - num_frames + 1))
    frames = frames[start : start + num_frames]
    for axis, probability in ((2, 0.5), (1, 0.5), (0, 0.3)):
        if rng.random() < probability:
            frames = np.flip(frames, axis)
    return frames[..., rng.permutation(3)] if rng.random() < 0.2 else frames


def _tensor(windows: list[Frames]) -> torch.Tensor:
    return torch.from_numpy(np.stack(windows)).permute(0, 4, 1, 2, 3).float() / 127.5 - 1


def _report(vae: Any, held_out: dict[str, list[Clip]]) -> str:
    return ", ".join(f"{kind} {psnr(vae, group):.1f} dB" for kind, group in held_out.items())


if __name__ == "__main__":
    main()
