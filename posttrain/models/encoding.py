"""Latents and prompt embeddings, computed once and shared by every trial, slot and sweep.

Each encoding is one safetensors file in the cache folder, named by what it depends on: the clip's content and window,
the codec's weights, the model's clip size. Files are written aside and renamed, so concurrent writers and a `kill -9`
leave whole files or none. `EncodingStore` reads them back through a memory of bounded size.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from posttrain.data import Sample, decode
from posttrain.data.controls import identity, make_control
from posttrain.errors import EnvironmentFault
from posttrain.models.base import Frames, VideoFamily
from posttrain.paths import cache_dir, write_atomic

# Encodings held in memory by one worker: enough for a small data set, no threat to a node with eight workers.
MEMORY_BYTES = 2 << 30


class EncodingStore:
    """Encodings of one loaded model: `encode` fills the disk cache, `latents` and `prompt` read it."""

    def __init__(self, family: VideoFamily, memory_bytes: int = MEMORY_BYTES) -> None:
        self.family = family
        self.encoded = 0  # encoder calls of this process: a warm sweep makes none
        self._root = cache_dir() / "encodings"
        self._memory: OrderedDict[Path, torch.Tensor] = OrderedDict()
        self._room = memory_bytes

    def encode(self, samples: Sequence[Sample], on_progress: Callable[[int, int], None] | None = None) -> None:
        """Encodes what the cache lacks of captions and clips; `on_progress(done, total)` counts clips."""
        self.encode_captions([sample.caption for sample in samples])
        for done, sample in enumerate(samples, start=1):
            self.encode_clip(sample)
            if on_progress:
                on_progress(done, len(samples))

    def encode_captions(self, captions: Sequence[str]) -> None:
        """Encodes the captions that the cache lacks; the text encoder is in memory only for the time of the call."""
        missing = sorted({caption for caption in captions if not self._prompt_file(caption).exists()})
        if missing:
            for caption, prompt_LD in zip(missing, self.family.encode_prompts(missing), strict=True):
                self._write(self._prompt_file(caption), prompt_LD)
        self.encoded += len(missing)

    def encode_clip(self, sample: Sample) -> None:
        """Encodes what the cache lacks of a clip and of its controls."""
        clip = self._clip_file(sample)
        controls = {name: self._control_file(name, sample) for name in self.family.control_names}
        missing = {name: path for name, path in controls.items() if not path.exists()}
        if missing or not clip.exists():
            frames = decode(sample.video, self.family.clip, sample.start_s)
            if not clip.exists():
                self._encode(clip, frames)
            for name, path in missing.items():
                self._encode(path, make_control(name, sample, self.family.clip, frames))

    def _encode(self, path: Path, frames_THWC: Frames) -> None:
        self._write(path, self.family.encode_frames(frames_THWC))
        self.encoded += 1

    def latents(self, sample: Sample) -> torch.Tensor:
        """Normalised latents (C, T, h, w), float32.

        Raises:
            EnvironmentFault: the cache does not hold them whole; `prompt` raises the same.
        """
        return self._read(self._clip_file(sample))

    def controls(self, sample: Sample) -> torch.Tensor | None:
        """Normalised latents of the controls (K, C, T, h, w), float32, in the family's order; None if it takes none."""
        if not self.family.control_names:
            return None
        return torch.stack([self._read(self._control_file(name, sample)) for name in self.family.control_names])

    def prompt(self, caption: str) -> torch.Tensor:
        """Projected prompt embedding (L, D)."""
        return self._read(self._prompt_file(caption))

    def _clip_file(self, sample: Sample) -> Path:
        return self._file("latents", f"{self.family.latents_key}:{sample.content_hash}:{sample.start_s}")

    def _control_file(self, name: str, sample: Sample) -> Path:
        return self._file("controls", f"{self.family.latents_key}:{identity(name, sample)}")

    def _prompt_file(self, caption: str) -> Path:
        return self._file("prompts", f"{self.family.prompts_key}:{caption}")

    def _file(self, kind: str, identity: str) -> Path:
        name = hashlib.sha256(identity.encode()).hexdigest()[:40]
        return self._root / kind / name[:2] / f"{name}.safetensors"

    @staticmethod
    def _write(path: Path, value: torch.Tensor) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, save({"value": value.contiguous()}))

    def _read(self, path: Path) -> torch.Tensor:
        if path in self._memory:
            self._memory.move_to_end(path)
            return self._memory[path]
        value = _load(path)
        self._memory[path] = value
        self._room -= value.nbytes
        while self._room < 0 and len(self._memory) > 1:
            self._room += self._memory.popitem(last=False)[1].nbytes
        return value


def _load(path: Path) -> torch.Tensor:
    try:
        value: torch.Tensor = load_file(path)["value"]
    except (OSError, SafetensorError, KeyError) as error:
        raise EnvironmentFault(
            f"{path}: this encoding is missing or damaged ({error}); delete the file and run the same command again, "
            "which encodes it anew"
        ) from error
    return value
