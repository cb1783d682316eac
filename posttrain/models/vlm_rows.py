"""Rows as the tensors that a Qwen vision-language model takes: prompt by the chat template, media by the processor.

    Row --chat template--> prompt and answer texts --processor--> tokens and pixels of one row --collate--> a batch

Prompt and answer are tokenised apart, so that training sees the very tokens that generation goes on from. Each row is
processed alone: nothing in its tensors depends on the batch that it is in.

Shapes: B rows, L tokens, A answer tokens.
"""

import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from posttrain.data import Row, RowSpec, open_picture, sample_video
from posttrain.errors import DataError, ModelError

IGNORED = -100  # the label of a token that is not supervised, as the models' loss wants it
# Held in memory by one worker: enough for a small data set, no threat to a node with eight workers.
MEMORY_BYTES = 1 << 30
_PLACEHOLDER = re.compile(r"(<image>|<video>)")
# What belongs to the media of all rows of a batch, one after the other, not to B.
_MEDIA = ("pixel_values", "image_grid_thw", "pixel_values_videos", "video_grid_thw", "second_per_grid_ts")


@dataclass(frozen=True)
class EncodedRow:
    """One row: `prompt_L` and `answer_A` token ids, `kinds_L` (0 text, 1 image, 2 video) and the media's tensors."""

    prompt_L: torch.Tensor
    kinds_L: torch.Tensor
    answer_A: torch.Tensor
    media: dict[str, torch.Tensor]

    @property
    def nbytes(self) -> int:
        """Its size in memory."""
        return sum(value.nbytes for value in (self.prompt_L, self.kinds_L, self.answer_A, *self.media.values()))


class RowEncoder:
    """Encodes rows with one checkpoint's processor, and remembers them in a memory of bounded size."""

    def __init__(
        self, processor: Any, spec: RowSpec, max_tokens: int | None = None, memory_bytes: int = MEMORY_BYTES
    ) -> None:
        self.processor = processor
        self.spec = spec
        self.max_tokens = max_tokens
        self._memory: OrderedDict[Row, EncodedRow] = OrderedDict()
        self._sizes: dict[Any, tuple[int, int]] = {}
        self._room = memory_bytes

    def collate(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        """A batch to train on: prompts with their answers, padded on the right; labels on the answers alone.

        Raises:
            DataError: a row has no supervised token, is longer than `max_tokens`, or its media are gone.
        """
        encoded = [self.encode(row) for row in rows]
        ids = [torch.cat([row.prompt_L, row.answer_A]) for row in encoded]
        labels = [torch.cat([torch.full_like(row.prompt_L, IGNORED), row.answer_A]) for row in encoded]
        kinds = [torch.cat([row.kinds_L, torch.zeros_like(row.answer_A)]) for row in encoded]
        return {
            "input_ids": _padded(ids, self._pad_id, left=False),
            "attention_mask": _padded([torch.ones_like(row) for row in ids], 0, left=False),
            "mm_token_type_ids": _padded(kinds, 0, left=False),
            "labels": _padded(labels, IGNORED, left=False),
            **_media(encoded),
        }

    def prompts(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        """A batch to generate from: prompts, padded on the left."""
        encoded = [self.encode(row) for row in rows]
        return {
            "input_ids": _padded([row.prompt_L for row in encoded], self._pad_id, left=True),
            "attention_mask": _padded([torch.ones_like(row.prompt_L) for row in encoded], 0, left=True),
            "mm_token_type_ids": _padded([row.kinds_L for row in encoded], 0, left=True),
            **_media(encoded),
        }

    def encode(self, row: Row) -> EncodedRow:
        """The tensors of one row, from memory if it was asked for lately."""
        key = _key(row)
        if key in self._memory:
            self._memory.move_to_end(key)
            return self._memory[key]
        encoded = self._encode(row)
        self._memory[key] = encoded
        self._sizes[key] = (len(encoded.prompt_L), len(encoded.answer_A))
        self._room -= encoded.nbytes
        while self._room < 0 and len(self._memory) > 1:
            self._room += self._memory.popitem(last=False)[1].nbytes
        return encoded

    def size(self, row: Row) -> tuple[int, int]:
        """Tokens of the prompt, those that stand for media included, and of the answer."""
        known = self.known_size(row)
        if known is not None:
            return known
        self.encode(row)
        return self._sizes[_key(row)]

    def known_size(self, row: Row) -> tuple[int, int] | None:
        """The size of a row that was read before; None of others."""
        return self._sizes.get(_key(row))

    @property
    def _pad_id(self) -> int:
        return int(self.processor.tokenizer.pad_token_id)

    def _encode(self, row: Row) -> EncodedRow:
        prompt, answer = self.texts(row)
        inputs = self.processor(text=[prompt], return_tensors="pt", **self._media_arguments(row))
        prompt_L = inputs["input_ids"][0]
        kinds_L = inputs["mm_token_type_ids"][0] if "mm_token_type_ids" in inputs else self._kinds(prompt_L)
        answer_A = self.processor.tokenizer(answer, add_special_tokens=False, return_tensors="pt")["input_ids"][
            0
        ].long()
        if len(answer_A) == 0:
            raise DataError(f"row {row.id}: no token of its answer is supervised; give it an answer")
        num_tokens = len(prompt_L) + len(answer_A)
        if self.max_tokens is not None and num_tokens > self.max_tokens:
            raise DataError(
                f"row {row.id}: it has {num_tokens} tokens, and model.max_sequence_length is {self.max_tokens}; raise "
                "it, or take fewer video frames or smaller pictures"
            )
        media = {name: torch.as_tensor(inputs[name]) for name in _MEDIA if name in inputs}
        return EncodedRow(prompt_L, kinds_L, answer_A, media)

    def texts(self, row: Row) -> tuple[str, str]:
        """The prompt as the chat template writes it, and the answer with the token that ends it.

        Raises:
            ModelError: the template does not go on with the answer after the prompt.
        """
        messages = [{"role": role, "content": _content(role, text)} for role, text in row.turns]
        answered = [*messages, {"role": "assistant", "content": [{"type": "text", "text": row.target}]}]
        render = self.processor.apply_chat_template
        prompt = render(messages, tokenize=False, add_generation_prompt=True)
        whole = render(answered, tokenize=False)
        end = self.processor.tokenizer.eos_token
        said, ended, _ = whole.removeprefix(prompt).partition(end)
        if not whole.startswith(prompt) or not ended or not said.strip():
            raise ModelError(
                f"model.checkpoint: its chat template does not write the answer of row {row.id}, ended by {end}, after "
                "the prompt, so no token of it can be supervised; use the template the checkpoint is published with"
            )
        return prompt, said + end

    def _media_arguments(self, row: Row) -> dict[str, Any]:
        arguments: dict[str, Any] = {}
        if row.images:
            arguments["images"] = [open_picture(path) for path in row.images]
        if row.video is not None:
            frames_THWC, fps = sample_video(row.video, self.spec)
            if len(frames_THWC) == 1:  # the models fold frames in pairs
                frames_THWC = np.repeat(frames_THWC, 2, axis=0)
            indices = list(range(len(frames_THWC)))
            arguments["videos"] = [torch.from_numpy(frames_THWC.transpose(0, 3, 1, 2).copy())]
            arguments["video_metadata"] = [{"fps": fps, "total_num_frames": len(indices), "frames_indices": indices}]
            # the frames are chosen already; their size is bounded as in the models' own training (qwen-vl-utils)
            arguments |= {"do_sample_frames": False, "cap_pixels_per_frame": True}
        return arguments

    def _kinds(self, prompt_L: torch.Tensor) -> torch.Tensor:
        image, video = int(self.processor.image_token_id), int(self.processor.video_token_id)
        return torch.eq(prompt_L, image).long() + 2 * torch.eq(prompt_L, video).long()


def supervised_share(batch: dict[str, torch.Tensor]) -> float:
    """The share of a batch's tokens that the loss is over."""
    return float((batch["labels"] != IGNORED).sum() / batch["attention_mask"].sum())


def _content(role: str, text: str) -> list[dict[str, str]]:
    """A turn as the chat templates take it: text and placeholders one after the other."""
    if role != "user":
        return [{"type": "text", "text": text}]
    parts = [part.strip("\n") for part in _PLACEHOLDER.split(text)]
    return [
        {"type": part[1:-1]} if _PLACEHOLDER.fullmatch(part) else {"type": "text", "text": part}
        for part in parts
        if part.strip()
    ]


def _key(row: Row) -> Any:
    """All that the tensors of a row depend on; its metadata, a dict, is not part of it."""
    return (row.turns, row.target, row.media_hashes, len(row.images))


def _padded(rows: Sequence[torch.Tensor], value: int, *, left: bool) -> torch.Tensor:
    return torch.nn.utils.rnn.pad_sequence(
        list(rows), batch_first=True, padding_value=value, padding_side="left" if left else "right"
    )


def _media(rows: Sequence[EncodedRow]) -> dict[str, torch.Tensor]:
    found = {name: [row.media[name] for row in rows if name in row.media] for name in _MEDIA}
    return {name: torch.cat(values) for name, values in found.items() if values}
