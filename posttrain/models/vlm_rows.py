"""Rows as the tensors that a Qwen vision-language model takes: prompt by the chat template, media by the processor.

    Row --chat template--> prompt and answer texts --tokenizer--> tokens  --+
        --MediaStore--> pictures and videos as patches ---------------------+--collate--> a batch

Prompt and answer are tokenised apart, so that training sees the very tokens that generation goes on from. Each row is
processed alone: nothing in its tensors depends on the batch that it is in. Tokens and patches are kept in the cache,
where the second trial and the next sweep find them.

Shapes: B rows, L tokens, A answer tokens.
"""

import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from posttrain import cache
from posttrain.data import Row, RowSpec
from posttrain.errors import DataError, ModelError
from posttrain.models.encoding_files import EncodingFiles, EntryGone, Tensors
from posttrain.models.vlm_media import MediaStore, joined, media_of

IGNORED = -100  # the label of a token that is not supervised, as the models' loss wants it
# Held in memory by one worker: enough for a small data set, no threat to a node with eight workers.
MEMORY_BYTES = 1 << 30
_PLACEHOLDER = re.compile(r"(<image>|<video>)")
_TOKENS = ("prompt", "kinds", "answer")
# A thought that the chat template opens at the end of the prompt; some close it as well, so that none is written.
_OPENING = re.compile(r"<think>(?:\s*</think>)?\s*\Z")


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
    """Encodes rows with one checkpoint's processor, and remembers them in a memory of bounded size.

    `prepare` fills the disk cache, the others read it; what it lacks is encoded when it is asked for.
    """

    def __init__(
        self, processor: Any, spec: RowSpec, max_tokens: int | None = None, memory_bytes: int = MEMORY_BYTES
    ) -> None:
        self.processor = processor
        self.spec = spec
        self.max_tokens = max_tokens
        self.files = EncodingFiles(memory_bytes=0)  # whole rows are remembered here
        self.media = MediaStore(processor, spec, self.files)
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
            **joined([row.media for row in encoded]),
        }

    def prompts(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        """A batch to generate from: prompts, padded on the left."""
        encoded = [self.encode(row) for row in rows]
        return {
            "input_ids": _padded([row.prompt_L for row in encoded], self._pad_id, left=True),
            "attention_mask": _padded([torch.ones_like(row.prompt_L) for row in encoded], 0, left=True),
            "mm_token_type_ids": _padded([row.kinds_L for row in encoded], 0, left=True),
            **joined([row.media for row in encoded]),
        }

    def encode(self, row: Row) -> EncodedRow:
        """The tensors of one row, from memory if it was asked for lately."""
        key = _key(row)
        if key in self._memory:
            self._memory.move_to_end(key)
            return self._memory[key]
        encoded = self._encode(row)
        self._memory[key] = encoded
        self._room -= encoded.nbytes
        while self._room < 0 and len(self._memory) > 1:
            self._room += self._memory.popitem(last=False)[1].nbytes
        return encoded

    @property
    def _pad_id(self) -> int:
        return int(self.processor.tokenizer.pad_token_id)

    def prepare(self, row: Row) -> None:
        """Fills the cache with what it lacks of a row.

        Raises:
            DataError: the row is too long, has no token to supervise, or its media are gone.
            ModelError: the chat template is not fit for training.
        """
        for medium in media_of(row):
            self.media.prepare(medium)
        self._check_length(row)

    def reserve(self, rows: Sequence[Row], seen: Sequence[Row]) -> None:
        """Makes room for what the cache lacks of `rows`, should they be as large as those that it holds already.

        Raises:
            EnvironmentFault: there is no room for it.
        """
        held = {path: path.stat().st_size for row in seen for path in self._paths(row)}
        paths = {path for row in rows for path in self._paths(row)} - set(held)
        missing = [path for path in paths if not self.files.has(path)]
        if missing:
            mean = sum(held.values()) / len(held)
            cache.make_room(round(mean * (len(held) + len(paths) - len(missing))), round(mean * len(missing)))

    def _paths(self, row: Row) -> list[Path]:
        return [self._path(row), *(self.media.path(medium) for medium in media_of(row))]

    def size(self, row: Row) -> tuple[int, int]:
        """Tokens of the prompt, those that stand for media included, and of the answer; no pixels are read for it."""
        known = self.known_size(row)
        if known is None:
            tokens = self._tokens(row)
            known = self._sizes[_key(row)] = (len(tokens["prompt"]), len(tokens["answer"]))
        return known

    def known_size(self, row: Row) -> tuple[int, int] | None:
        """The size of a row that was asked for before; None of others."""
        return self._sizes.get(_key(row))

    def _encode(self, row: Row) -> EncodedRow:
        self._check_length(row)
        tokens = self._tokens(row)
        prompt_L, kinds_L, answer_A = (tokens[name].long() for name in _TOKENS)
        media = joined([self.media.floats(self.media.read(medium)) for medium in media_of(row)])
        return EncodedRow(prompt_L, kinds_L, answer_A, media)

    def _check_length(self, row: Row) -> None:
        num_tokens = sum(self.size(row))
        if self.max_tokens is not None and num_tokens > self.max_tokens:
            raise DataError(
                f"row {row.id}: it has {num_tokens} tokens, and model.max_sequence_length is {self.max_tokens}; raise "
                "it, or take fewer video frames or smaller pictures"
            )

    def _tokens(self, row: Row) -> Tensors:
        """Token ids of prompt and answer and the prompt's kinds of tokens, from the cache if it has them."""
        path = self._path(row)
        try:
            return self.files.read(path, *_TOKENS)
        except EntryGone:
            self.files.discard(path)
        tokens = self._tokenise(row)
        self.files.write(path, tokens)
        return tokens

    def _tokenise(self, row: Row) -> Tensors:
        prompt, answer = self.texts(row)
        places: dict[bool, list[str]] = {False: [], True: []}
        for medium in media_of(row):
            places[medium.is_video].append(self.media.read(medium).text)
        (whole,), _ = self.processor.get_text_with_replacements([prompt], places[False], places[True])
        prompt_L, answer_A = self._ids(whole), self._ids(answer, add_special_tokens=False)
        if len(answer_A) == 0:
            raise DataError(f"row {row.id}: no token of its answer is supervised; give it an answer")
        return {"prompt": prompt_L, "kinds": self._kinds(prompt_L), "answer": answer_A}

    def _ids(self, text: str, **more: Any) -> torch.Tensor:
        """Token ids; half the size of the models' own integers is enough for any vocabulary."""
        return torch.tensor(self.processor.tokenizer(text, **more)["input_ids"], dtype=torch.int32)

    def _path(self, row: Row) -> Path:
        media = [self.media.path(medium).name for medium in media_of(row)]
        return self.files.path("rows", json.dumps([self._key, row.turns, row.target, media]))

    @cached_property
    def _key(self) -> str:
        """Names all that tokens depend on besides the row and its media."""
        tokenizer = self.processor.tokenizer
        text = json.dumps([tokenizer.backend_tokenizer.to_str(), self.processor.chat_template, tokenizer.eos_token])
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def texts(self, row: Row) -> tuple[str, str]:
        """The prompt as the chat template writes it, and the answer with the token that ends it.

        Raises:
            ModelError: the template does not go on with the answer after the prompt.
        """
        messages = [_message(role, text) for role, text in row.turns]
        answered = [*messages, _message("assistant", row.target)]
        render = self.processor.apply_chat_template
        prompt = render(messages, tokenize=False, add_generation_prompt=True)
        whole = render(answered, tokenize=False)
        end = self.processor.tokenizer.eos_token
        rest, ended, _ = (_after(prompt, whole) or "").partition(end)
        if not ended or not rest.strip():
            raise ModelError(
                f"model.checkpoint: its chat template does not write the answer of row {row.id}, ended by {end}, after "
                "the prompt, so no token of it can be supervised; use the template the checkpoint is published with"
            )
        return prompt, rest + end

    @cached_property
    def opening(self) -> str:
        """The `<think>` that the chat template opens at the end of every prompt; "" where it opens none.

        What a model says begins inside of it: whoever judges the form of an answer puts it in front.
        """
        asked = self.processor.apply_chat_template([_message("user", "?")], tokenize=False, add_generation_prompt=True)
        return _opening(asked)

    def _kinds(self, prompt_L: torch.Tensor) -> torch.Tensor:
        image, video = int(self.processor.image_token_id), int(self.processor.video_token_id)
        return torch.eq(prompt_L, image).to(torch.int8) + 2 * torch.eq(prompt_L, video).to(torch.int8)


def supervised_share(batch: dict[str, torch.Tensor]) -> float:
    """The share of a batch's tokens that the loss is over."""
    return float((batch["labels"] != IGNORED).sum() / batch["attention_mask"].sum())


def _message(role: str, text: str) -> dict[str, Any]:
    """A turn as the chat templates take it: text and placeholders one after the other."""
    if role != "user":
        return {"role": role, "content": [{"type": "text", "text": text}]}
    parts = [part.strip("\n") for part in _PLACEHOLDER.split(text)]
    content = [
        {"type": part[1:-1]} if _PLACEHOLDER.fullmatch(part) else {"type": "text", "text": part}
        for part in parts
        if part.strip()
    ]
    return {"role": role, "content": content}


def _opening(prompt: str) -> str:
    found = _OPENING.search(prompt)
    return found[0] if found else ""


def _after(prompt: str, whole: str) -> str | None:
    """What follows the prompt in the whole conversation; None where it does not begin with the prompt.

    Where the prompt opens a thought, the answer goes on inside of it, whether or not the template writes the thought of
    an answer that is given.
    """
    opening = _opening(prompt)
    if whole.startswith(prompt):
        rest = whole.removeprefix(prompt)
    elif opening and whole.startswith(prompt.removesuffix(opening)):
        rest = whole.removeprefix(prompt.removesuffix(opening))
        if "</think>" not in rest and "</think>" not in opening:
            return f"\n</think>\n\n{rest}"
    else:
        return None
    if opening and rest.lstrip().startswith("<think>"):
        rest = rest.lstrip().removeprefix("<think>")
        return rest.partition("</think>")[2].lstrip() if "</think>" in opening else rest
    return rest


def _key(row: Row) -> Any:
    """All that the tensors of a row depend on; its metadata, a dict, is not part of it."""
    return (row.turns, row.target, row.media_hashes, len(row.images))


def _padded(rows: Sequence[torch.Tensor], value: int, *, left: bool) -> torch.Tensor:
    return torch.nn.utils.rnn.pad_sequence(
        list(rows), batch_first=True, padding_value=value, padding_side="left" if left else "right"
    )
