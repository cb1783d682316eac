"""Latents and prompt embeddings, computed once and shared by every trial, slot and sweep.

An entry is named by what it depends on: the clip's content and window, what an augmentation does to its
pixels, the codec's weights, the model's clip size.
`EncodingFiles` keeps the files; here are their keys and what fills them. An entry that is gone or damaged when a trial
reads it is encoded again and counted.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch

from posttrain import cache
from posttrain.data import Sample
from posttrain.data.controls import identity, make_control
from posttrain.data.transform import PLAIN, Transform, decode_with, keyed
from posttrain.errors import EnvironmentFault
from posttrain.models.base import Frames, VideoFamily
from posttrain.models.encoding_files import MEMORY_BYTES, EncodingFiles, EntryGone

_VALUE = "value"  # the one tensor of an entry
_CLIP = ""  # the clip itself beside the names of its controls
# A sample, and what is done to its pixels.
Clip = tuple[Sample, Transform]


class EncodingStore:
    """Encodings of one loaded model: `encode` fills the disk cache, `latents` and `prompt` read it."""

    def __init__(self, family: VideoFamily, memory_bytes: int = MEMORY_BYTES) -> None:
        self.family = family
        self.encoded = 0  # encoder calls of this process: a warm sweep makes none
        self.encoded_again = 0  # of these, for entries that were gone or damaged when they were read
        self.files = EncodingFiles(memory_bytes)
        self._captions: set[str] = set()

    def encode(self, samples: Sequence[Sample], on_progress: Callable[[int, int], None] | None = None) -> None:
        """Encodes what the cache lacks of captions and clips; `on_progress(done, total)` counts clips."""
        self.encode_captions([sample.caption for sample in samples])
        for done, sample in enumerate(samples, start=1):
            self.encode_clip(sample)
            if on_progress:
                on_progress(done, len(samples))

    def know(self, captions: Iterable[str]) -> None:
        """Captions that trials will read: should one be gone by then, all that are gone are encoded together."""
        self._captions.update(captions)

    def reserve(self, clips: Iterable[Clip], captions: Iterable[str]) -> None:
        """Makes room for what the cache lacks of clips and captions; what it holds of them counts as used now.

        Raises:
            EnvironmentFault: there is no room for it.
        """
        pixels = [path for sample, transform in clips for path in self._pixel_files(sample, transform).values()]
        prompts = [self._prompt_file(caption) for caption in captions]
        sizes = {
            **dict.fromkeys(pixels, self.family.latents_bytes),
            **dict.fromkeys(prompts, self.family.prompt_bytes),
        }
        missing = [path for path in sizes if not self.files.has(path)]
        if missing:
            new_bytes = sum(sizes[path] for path in missing)
            cache.make_room(sum(sizes.values()) - new_bytes, new_bytes)

    def encode_captions(self, captions: Iterable[str]) -> None:
        """Encodes the captions that the cache lacks; the text encoder is in memory only for the time of the call."""
        missing = sorted({caption for caption in captions if not self.files.has(self._prompt_file(caption))})
        if missing:
            for caption, prompt_LD in zip(missing, self.family.encode_prompts(missing), strict=True):
                self._write(self._prompt_file(caption), prompt_LD)
        self.encoded += len(missing)

    def encode_clip(self, sample: Sample, transform: Transform = PLAIN) -> None:
        """Encodes what the cache lacks of a clip and of its controls, read through `transform`.

        Raises:
            UnusableClip: the clip cannot be read.
        """
        files = self._pixel_files(sample, transform)
        missing = {name: path for name, path in files.items() if not self.files.has(path)}
        if missing:
            frames = decode_with(sample, self.family.clip, transform)
            for name, path in missing.items():
                self._encode(
                    path, frames if name == _CLIP else make_control(name, sample, self.family.clip, frames, transform)
                )

    def _encode(self, path: Path, frames_THWC: Frames) -> None:
        self._write(path, self.family.encode_frames(frames_THWC))
        self.encoded += 1

    def latents(self, sample: Sample, transform: Transform = PLAIN) -> torch.Tensor:
        """Normalised latents (C, T, h, w), float32.

        Raises:
            UnusableClip: they are gone from the cache, and so is the clip.
        """
        return self._read(self._clip_file(sample, transform), lambda: self.encode_clip(sample, transform))

    def controls(self, sample: Sample, transform: Transform = PLAIN) -> torch.Tensor | None:
        """Normalised latents of the controls (K, C, T, h, w), float32, in the family's order; None if it takes none."""
        if not self.family.control_names:
            return None
        files = [self._control_file(name, sample, transform) for name in self.family.control_names]
        return torch.stack([self._read(path, lambda: self.encode_clip(sample, transform)) for path in files])

    def prompt(self, caption: str) -> torch.Tensor:
        """Projected prompt embedding (L, D).

        Raises:
            EnvironmentFault: it is gone from the cache, and the text encoder does not fit beside what is in memory now.
        """
        return self._read(self._prompt_file(caption), lambda: self._encode_lost_captions(caption))

    def _encode_lost_captions(self, caption: str) -> None:
        try:
            self.encode_captions({caption, *self._captions})
        except torch.OutOfMemoryError as error:
            raise EnvironmentFault(
                f"{self._prompt_file(caption)}: this prompt is gone from the cache, and there is no room for the text "
                "encoder beside the training; run the same command again, which encodes it first"
            ) from error

    def _pixel_files(self, sample: Sample, transform: Transform) -> dict[str, Path]:
        """The entries of a clip and of its controls, by the control's name."""
        controls = {name: self._control_file(name, sample, transform) for name in self.family.control_names}
        return {_CLIP: self._clip_file(sample, transform), **controls}

    def _clip_file(self, sample: Sample, transform: Transform) -> Path:
        plain = f"{self.family.latents_key}:{sample.content_hash}:{sample.start_s}"
        return self.files.path("latents", keyed(plain, transform))

    def _control_file(self, name: str, sample: Sample, transform: Transform) -> Path:
        return self.files.path("controls", f"{self.family.latents_key}:{identity(name, sample, transform)}")

    def _prompt_file(self, caption: str) -> Path:
        return self.files.path("prompts", f"{self.family.prompts_key}:{caption}")

    def _write(self, path: Path, value: torch.Tensor) -> None:
        self.files.write(path, {_VALUE: value})

    def _read(self, path: Path, encode: Callable[[], None]) -> torch.Tensor:
        """The value of an entry; one that is gone is made by `encode`, at the cost of nobody's random numbers."""
        try:
            return self.files.read(path, _VALUE)[_VALUE]
        except EntryGone:
            self.files.discard(path)
            before, device = self.encoded, self.family.device
            with torch.random.fork_rng([device] if device.type == "cuda" else []):
                encode()
            self.encoded_again += self.encoded - before
            return self.files.read(path, _VALUE)[_VALUE]
