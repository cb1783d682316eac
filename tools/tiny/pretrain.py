"""Teaches a tiny model general abilities, on the patterns of demo:general and on nothing of demo:shapes.

What is taught is the transformer; of a family with controls the ControlNet, whose transformer is taught already.

A LoRA on random weights stalls at 60 % of the initial loss, because the frozen modulation and output layers stay
random; after a thousand steps of training everything, it adapts as it does on a published checkpoint.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

from posttrain.data import ClipSpec, decode, demo
from posttrain.data.captions import read_caption
from posttrain.data.controls import COMPUTED
from posttrain.models import family_class
from posttrain.models.base import Noise, VideoFamily
from posttrain.models.catalog import TINY
from tools.tiny.fit import Note, Recipe, fit

# A clip of demo:general holds 17 frames at 8 per second, and does in its second half what its caption says as in the
# first: two clips of nine frames.
_FILE_FRAMES = 17
_WEIGHTS = "diffusion_pytorch_model.safetensors"


@dataclass(frozen=True)
class VideoRecipe(Recipe):
    """How a video base is trained; conditioning frames are weights of 0, 1 and 2 latent frames given clean."""

    conditioning: tuple[float, float, float] = (0.34, 0.33, 0.33)
    caption_dropout: float = 0.05


@dataclass(frozen=True)
class Clips:
    """Everything the training reads, encoded.

    Latents (N, C, T, h, w), prompts (N, L, D), and for a family with controls theirs (N, K, C, T, h, w).
    """

    latents: torch.Tensor
    prompts: torch.Tensor
    controls: torch.Tensor | None


def pretrain(name: str, folder: Path, recipe: VideoRecipe, on_note: Note, most_videos: int | None = None) -> None:
    """Trains the network of the checkpoint in `folder`, the built-in `name`, and writes it back.

    With `most_videos`, which tries the recipe out, no more of demo:general are read.
    """
    generation = TINY[name]
    family = family_class(generation.name).load(
        folder,
        generation,
        generation.clip,
        max_sequence_length=generation.max_sequence_length,
        dtype=torch.float32,
        device=torch.device("cpu"),
    )
    on_note(f"{name}: encoding demo:general")
    clips = _encode(family, most_videos)
    taught = _taught(family)
    generator = torch.Generator().manual_seed(recipe.seed)
    fit(
        family.modules[taught],
        lambda _: _loss(family, clips, recipe, generator),
        recipe,
        lambda text: on_note(f"{name}: base training, {text}"),
    )
    # the weights alone: save_pretrained would write the name of this folder into config.json
    save_file(family.published_state(taught), folder / taught / _WEIGHTS, metadata={"format": "pt"})


def _loss(family: VideoFamily, clips: Clips, recipe: VideoRecipe, generator: torch.Generator) -> torch.Tensor:
    """The mean loss of one batch, drawn by `generator`."""
    picked = torch.randint(len(clips.latents), (recipe.batch_size,), generator=generator)
    latents = clips.latents[picked]
    kept = torch.rand(recipe.batch_size, generator=generator) >= recipe.caption_dropout
    return family.loss(
        latents,
        clips.prompts[picked] * kept[:, None, None],
        _noise(family, latents, recipe, generator),
        None if clips.controls is None else clips.controls[picked],
    ).mean()


def _taught(family: VideoFamily) -> str:
    return "controlnet" if family.control_names else "transformer"


def _encode(family: VideoFamily, most_videos: int | None) -> Clips:
    root = demo.resolve("general")
    videos = sorted((root / "videos").iterdir())[:most_videos]
    captions = [read_caption(root / "captions" / f"{video.stem}.json")[0] for video in videos]
    prompts = dict(zip(captions, family.encode_prompts(captions), strict=True))
    starts = _starts(family.clip)
    frames = [decode(video, family.clip, start) for video in videos for start in starts]
    controls = [
        torch.stack([family.encode_frames(COMPUTED[name](clip)) for name in family.control_names])
        for clip in (frames if family.control_names else [])
    ]
    return Clips(
        torch.stack([family.encode_frames(clip) for clip in frames]),
        torch.stack([prompts[text] for text in captions for _ in starts]),
        torch.stack(controls) if controls else None,
    )


def _starts(clip: ClipSpec) -> tuple[float, ...]:
    """Where in a file of demo:general clips begin, in seconds."""
    half_s = (_FILE_FRAMES - 1) / 2 / clip.fps
    return (0.0, half_s) if 2 * clip.frames - 1 <= _FILE_FRAMES else (0.0,)


def _noise(family: VideoFamily, latents: torch.Tensor, recipe: VideoRecipe, generator: torch.Generator) -> Noise:
    most = 0 if family.num_given == 0 else latents.shape[2] - 1
    weights = torch.tensor(recipe.conditioning[: most + 1])
    return Noise(
        family.noise_levels.draw(len(latents), generator),
        torch.randn(latents.shape, generator=generator),
        torch.multinomial(weights, len(latents), replacement=True, generator=generator),
    )
