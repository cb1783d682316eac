"""Trains the tiny VAEs: single frames first, which are cheap and teach space, then clips.

A quarter of an hour on one core for Wan's, half of that for Cosmos'. Both demo sets are read, and the PSNR is that of
clips that are not trained on.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from posttrain.data import ClipSpec, decode, demo
from tools.tiny import vae, vae_cosmos, vae_forward, vae_optim

SIZE = 32
_FILE_FRAMES = 17
_HELD_OUT_EVERY = 8
# Of each folder, to try a recipe out: one that is held out, and one to train on.
_FEW_CLIPS = 2
_LEARNING_RATE = 0.008
_WARMUP_STEPS = 50
# Squared error is what PSNR counts; some absolute error keeps edges sharp.
_SQUARED, _ABSOLUTE = 2.0, 0.2
_NOTE_EVERY = 250

Frames = npt.NDArray[np.uint8]
Note = Callable[[str], None]


@dataclass(frozen=True)
class Phase:
    """`steps` batches of `batch_size` windows of `num_frames` frames."""

    num_frames: int
    batch_size: int
    steps: int


@dataclass(frozen=True)
class Codec:
    """A kind of VAE: how it is made, what it computes, and how it is trained."""

    new: Callable[[], Any]
    initialise: Callable[[Any], None]
    encode: Callable[[Any, torch.Tensor], torch.Tensor]
    decode: Callable[[Any, torch.Tensor], torch.Tensor]
    save: Callable[[Any, torch.Tensor, Path], None]
    phases: tuple[Phase, ...]

    @property
    def num_frames(self) -> int:
        """Frames of the clips that it is measured on."""
        return self.phases[-1].num_frames

    def reconstruct(self, model: Any, pixels: torch.Tensor) -> torch.Tensor:
        """Encoded and decoded, not clamped."""
        return self.decode(model, self.encode(model, pixels))


CODECS = {
    "wan": Codec(
        vae.new_vae,
        vae_optim.initialise,
        lambda model, pixels: vae_forward.encode(model, pixels)[:, : vae.Z_DIM],
        vae_forward.decode,
        vae.save_vae,
        (Phase(1, 32, 800), Phase(9, 8, 3000)),
    ),
    "cosmos": Codec(
        vae_cosmos.new_vae,
        vae_cosmos.initialise,
        vae_cosmos.encode,
        vae_cosmos.decode,
        vae_cosmos.save_vae,
        (Phase(1, 32, 600), Phase(17, 8, 2000)),
    ),
}


@dataclass(frozen=True)
class Clip:
    """A demo clip at the model's size and at twice that, THWC."""

    small: Frames
    large: Frames


def write(codec: Codec, folder: Path, on_note: Note, steps: int | None = None) -> None:
    """Trains the codec on the demo sets and writes `folder`/vae.

    With `steps`, which tries the recipe out, each phase has at most so many and few clips are read.
    """
    if steps is not None:
        phases = tuple(replace(phase, steps=min(phase.steps, steps)) for phase in codec.phases)
        codec = replace(codec, phases=phases)
    clips = read_clips(None if steps is None else _FEW_CLIPS)
    held_out = {kind: group[::_HELD_OUT_EVERY] for kind, group in clips.items()}
    training = [clip for group in clips.values() for i, clip in enumerate(group) if i % _HELD_OUT_EVERY]
    with vae_forward.fast_norm():
        model = train(codec, training, held_out, on_note)
        latents = all_latents(codec, model, [clip for group in clips.values() for clip in group])
    codec.save(model, latents, folder)


def read_clips(most: int | None = None) -> dict[str, list[Clip]]:
    """Every clip of both demo sets, or the first `most` of each folder, by folder."""
    roots = {"general": demo.resolve("general")}
    roots.update({folder.name: folder for folder in sorted(demo.resolve("shapes").iterdir()) if folder.is_dir()})
    specs = [ClipSpec(_FILE_FRAMES, size, size, 8.0) for size in (SIZE, 2 * SIZE)]
    return {
        name: [Clip(*(decode(video, spec) for spec in specs)) for video in sorted((root / "videos").iterdir())[:most]]
        for name, root in roots.items()
    }


def train(codec: Codec, clips: list[Clip], held_out: dict[str, list[Clip]], on_note: Note, seed: int = 0) -> Any:
    """The trained VAE, in evaluation mode."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = codec.new()
    codec.initialise(model)
    chosen = vae_optim.optimisers(model, _LEARNING_RATE)
    rates = [optimiser.param_groups[0]["lr"] for optimiser in chosen]
    for step, (progress, phase) in enumerate(_schedule(codec.phases)):
        factor = min(1.0, (step + 1) / _WARMUP_STEPS) * (0.01 + 0.99 * (0.5 + 0.5 * math.cos(math.pi * progress)))
        for optimiser, rate in zip(chosen, rates, strict=True):
            optimiser.param_groups[0]["lr"] = rate * factor
        loss = _loss(codec, model, _batch(clips, phase, rng))
        model.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        for optimiser in chosen:
            optimiser.step()
        if step % _NOTE_EVERY == 0:
            on_note(f"step {step}, loss {loss.item():.4f}, held out: {_report(codec, model, held_out)}")
    model.eval()
    on_note(f"held out: {_report(codec, model, held_out)}")
    return model


@torch.no_grad()
def all_latents(codec: Codec, model: Any, clips: list[Clip]) -> torch.Tensor:
    """The latents of every clip, (N, C, T, h, w): normalised by their statistics they have unit variance."""
    return torch.cat([codec.encode(model, _tensor([clip.small[: codec.num_frames]])) for clip in clips])


@torch.no_grad()
def psnr(codec: Codec, model: Any, clips: list[Clip]) -> float:
    """Mean PSNR in dB of clips at the model's size."""
    values = []
    for clip in clips:
        pixels = _tensor([clip.small[: codec.num_frames]])
        error = (codec.reconstruct(model, pixels).clamp(-1, 1) - pixels).square().mean() / 4
        values.append(-10 * math.log10(float(error)))
    return sum(values) / len(values)


def _schedule(phases: tuple[Phase, ...]) -> Iterator[tuple[float, Phase]]:
    """The phase of each step, with the share of the whole work that lies before it."""
    work = [phase.steps * phase.batch_size * phase.num_frames for phase in phases]
    before = 0.0
    for phase, part in zip(phases, work, strict=True):
        for step in range(phase.steps):
            yield (before + part * step / phase.steps) / sum(work), phase
        before += part


def _loss(codec: Codec, model: Any, pixels: torch.Tensor) -> torch.Tensor:
    error = codec.reconstruct(model, pixels) - pixels
    return _SQUARED * error.square().mean() + _ABSOLUTE * error.abs().mean()


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


def _report(codec: Codec, model: Any, held_out: dict[str, list[Clip]]) -> str:
    return ", ".join(f"{kind} {psnr(codec, model, group):.1f} dB" for kind, group in held_out.items())
