"""Latents and prompt embeddings, computed once and shared by every trial, slot and sweep.

An entry is named by what it depends on: the clip's content and window, the codec's weights, the model's clip size.
`EncodingFiles` keeps the files; here are their keys and what fills them. An entry that is gone or damaged when a trial
reads it is encoded again and counted.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch

from posttrain import cache
from posttrain.data import Sample, decode
from posttrain.data.controls import identity, make_control
from posttrain.errors import EnvironmentFault
from posttrain.models.base import Frames, VideoFamily
from posttrain.models.encoding_files import MEMORY_BYTES, EncodingFiles, EntryGone

_VALUE = "value"  # the one tensor of an entry


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

    def reserve(self, samples: Sequence[Sample]) -> None:
        """Makes room for what the cache lacks of the samples; what it holds of them counts as used now.

        Raises:
            EnvironmentFault: there is no room for it.
        """
        sizes = {path: size for sample in samples for path, size in self._sizes(sample).items()}
        missing = [path for path in sizes if not self.files.has(path)]
        if missing:
            new_bytes = sum(sizes[path] for path in missing)
            cache.make_room(sum(sizes.values()) - new_bytes, new_bytes)

    def _sizes(self, sample: Sample) -> dict[Path, int]:
        """All entries of a sample with their sizes in bytes."""
        pixels = [self._clip_file(sample), *(self._control_file(name, sample) for name in self.family.control_names)]
        return {
            **dict.fromkeys(pixels, self.family.latents_bytes),
            self._prompt_file(sample.caption): self.family.prompt_bytes,
        }

    def encode_captions(self, captions: Iterable[str]) -> None:
        """Encodes the captions that the cache lacks; the text encoder is in memory only for the time of the call."""
        missing = sorted({caption for caption in captions if not self.files.has(self._prompt_file(caption))})
        if missing:
            for caption, prompt_LD in zip(missing, self.family.encode_prompts(missing), strict=True):
                self._write(self._prompt_file(caption), prompt_LD)
        self.encoded += len(missing)

    def encode_clip(self, sample: Sample) -> None:
        """Encodes what the cache lacks of a clip and of its controls."""
        clip = self._clip_file(sample)
        controls = {name: self._control_file(name, sample) for name in self.family.control_names}
        missing = {name: path for name, path in controls.items() if not self.files.has(path)}
        has_clip = self.files.has(clip)
        if missing or not has_clip:
            frames = decode(sample.video, self.family.clip, sample.start_s)
            if not has_clip:
                self._encode(clip, frames)
            for name, path in missing.items():
                self._encode(path, make_control(name, sample, self.family.clip, frames))

    def _encode(self, path: Path, frames_THWC: Frames) -> None:
        self._write(path, self.family.encode_frames(frames_THWC))
        self.encoded += 1

    def latents(self, sample: Sample) -> torch.Tensor:
        """Normalised latents (C, T, h, w), float32.

        Raises:
            UnusableClip: they are gone from the cache, and so is the clip.
        """
        return self._read(self._clip_file(sample), lambda: self.encode_clip(sample))

    def controls(self, sample: Sample) -> torch.Tensor | None:
        """Normalised latents of the controls (K, C, T, h, w), float32, in the family's order; None if it takes none."""
        if not self.family.control_names:
            return None
        files = [self._control_file(name, sample) for name in self.family.control_names]
        return torch.stack([self._read(path, lambda: self.encode_clip(sample)) for path in files])

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

    def _clip_file(self, sample: Sample) -> Path:
        return self.files.path("latents", f"{self.family.latents_key}:{sample.content_hash}:{sample.start_s}")

    def _control_file(self, name: str, sample: Sample) -> Path:
        return self.files.path("controls", f"{self.family.latents_key}:{identity(name, sample)}")

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
