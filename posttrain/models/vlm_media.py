"""Pictures and videos as a processor leaves them, decoded and resized once and kept in the cache.

What is kept are the patches before they are scaled and normalised: whole numbers, an eighth of the floats that the
model reads of a picture (whose patches hold the same pixels twice) and a quarter of those of a video. The processor's
own function turns them into the floats when they are read, so cached equals live bit for bit.

An entry is named by the file's content, the processor's settings and, of a video, how frames are chosen. Beside the
patches it holds what the processor writes into the prompt in the medium's place.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from posttrain.data import Row, RowSpec, open_picture, sample_video
from posttrain.models.encoding_files import EncodingFiles, EntryGone, Tensors

# Raise it when pixels could come out differently from the same file and settings.
_VERSION = 1
_PATCHES = ("pixel_values", "pixel_values_videos")
_BESIDE = ("image_grid_thw", "video_grid_thw", "second_per_grid_ts")
_TEXT = "text"
# What belongs to the media of all rows of a batch, one after the other.
NAMES = (*_PATCHES, *_BESIDE)


@dataclass(frozen=True)
class Medium:
    """One picture or video of a row."""

    file: Path
    content_hash: str
    is_video: bool


@dataclass(frozen=True)
class Processed:
    """What stands for a medium in the prompt, and its tensors with patches as they are kept."""

    text: str
    tensors: Tensors


def media_of(row: Row) -> list[Medium]:
    """Its pictures in the order of their places in the text, then its video."""
    files = [*row.images, *([] if row.video is None else [row.video])]
    return [
        Medium(file, digest, file == row.video and index == len(row.images))
        for index, (file, digest) in enumerate(zip(files, row.media_hashes, strict=True))
    ]


class MediaStore:
    """Media as one processor leaves them.

    Attributes:
        processed: media that the processor read in this process: a warm sweep reads none.
        processed_again: of these, what was gone or damaged when it was read.
    """

    def __init__(self, processor: Any, spec: RowSpec, files: EncodingFiles) -> None:
        self.processor = processor
        self.spec = spec
        self.files = files
        self.processed = 0
        self.processed_again = 0

    def path(self, medium: Medium) -> Path:
        """Its entry."""
        frames = f":{self.spec}" if medium.is_video else ""
        return self.files.path("media", f"{self._key}:{medium.content_hash}{frames}")

    def prepare(self, medium: Medium) -> None:
        """Processes what the cache lacks."""
        if not self.files.has(self.path(medium)):
            self._process(medium)

    def read(self, medium: Medium) -> Processed:
        """A medium from the cache; one that is gone is processed again.

        Raises:
            UnusableClip: it is gone from the cache, and its file is gone or damaged too.
            EnvironmentFault: the cache cannot be written.
        """
        path = self.path(medium)
        try:
            tensors = self.files.read(path, _TEXT)
        except EntryGone:
            self.files.discard(path)
            tensors = self._process(medium)
            self.processed_again += 1
        text = bytes(tensors[_TEXT].numpy()).decode()
        return Processed(text, {name: value for name, value in tensors.items() if name != _TEXT})

    def floats(self, processed: Processed) -> dict[str, torch.Tensor]:
        """The tensors that the model takes: patches (N, channels x frames x height x width) scaled and normalised."""
        return {
            name: self._normalised(name, value) if name in _PATCHES else value
            for name, value in processed.tensors.items()
        }

    @cached_property
    def _key(self) -> str:
        """Names all settings that pixels depend on."""
        parts = [(type(part).__name__, part.to_dict()) for part in (self._pictures, self._videos)]
        text = json.dumps([_VERSION, parts], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @property
    def _pictures(self) -> Any:
        return self.processor.image_processor

    @property
    def _videos(self) -> Any:
        return self.processor.video_processor

    def _process(self, medium: Medium) -> Tensors:
        """Decodes a medium and hands it to the processor, which only resizes and cuts it into patches."""
        inputs = self.processor(
            text=[self.processor.video_token if medium.is_video else self.processor.image_token],
            do_rescale=False,
            do_normalize=False,
            return_text_replacement_offsets=True,
            return_tensors="pt",
            **(video_arguments(medium.file, self.spec) if medium.is_video else picture_arguments(medium.file)),
        )
        text = inputs["text_replacement_offsets"][0][0]["replacement"]
        tensors = {name: torch.as_tensor(inputs[name]) for name in _BESIDE if name in inputs}
        tensors |= {name: self._without_copies(name, inputs[name]) for name in _PATCHES if name in inputs}
        tensors[_TEXT] = torch.from_numpy(np.frombuffer(text.encode(), np.uint8).copy())
        self.files.write(self.path(medium), tensors)
        self.processed += 1
        return tensors

    def _without_copies(self, name: str, patches: torch.Tensor) -> torch.Tensor:
        """(N, channels, frames, height, width), one frame where all are the same, as those of a picture are."""
        part = self._part(name)
        size = part.patch_size
        patches_NCTHW = patches.view(len(patches), -1, part.temporal_patch_size, size, size)
        first_NC1HW = patches_NCTHW[:, :, :1]
        return (
            first_NC1HW.contiguous()
            if torch.equal(first_NC1HW.expand_as(patches_NCTHW), patches_NCTHW)
            else (patches_NCTHW)
        )

    def _normalised(self, name: str, patches_NCTHW: torch.Tensor) -> torch.Tensor:
        part = self._part(name)
        num, channels, _, height, width = patches_NCTHW.shape
        floats = part.rescale_and_normalize(
            patches_NCTHW.reshape(num, channels, -1, width),
            part.do_rescale,
            part.rescale_factor,
            part.do_normalize,
            part.image_mean,
            part.image_std,
        )
        frames: torch.Tensor = floats.view(num, channels, -1, height, width)
        return frames.expand(-1, -1, part.temporal_patch_size, -1, -1).reshape(num, -1)

    def _part(self, name: str) -> Any:
        return self._pictures if name == "pixel_values" else self._videos


def picture_arguments(file: Path) -> dict[str, Any]:
    """What a processor takes for a picture."""
    return {"images": [open_picture(file)]}


def video_arguments(file: Path, spec: RowSpec) -> dict[str, Any]:
    """What a processor takes for a video whose frames are chosen already."""
    frames_THWC, fps = sample_video(file, spec)
    if len(frames_THWC) == 1:  # the models fold frames in pairs
        frames_THWC = np.repeat(frames_THWC, 2, axis=0)
    indices = list(range(len(frames_THWC)))
    return {
        "videos": [torch.from_numpy(frames_THWC.transpose(0, 3, 1, 2).copy())],
        "video_metadata": [{"fps": fps, "total_num_frames": len(indices), "frames_indices": indices}],
        "do_sample_frames": False,
        "cap_pixels_per_frame": True,  # as in the models' own training (qwen-vl-utils)
    }


def joined(media: list[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """The tensors of several media, one after the other."""
    found = {name: [tensors[name] for tensors in media if name in tensors] for name in NAMES}
    return {name: torch.cat(values) for name, values in found.items() if values}
