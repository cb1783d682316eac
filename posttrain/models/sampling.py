"""Answers token by token, the likeliest or sampled; a sample depends on a seed of its row, not on the batch around it.

The likeliest token under logits / temperature + Gumbel noise is a sample of softmax(logits / temperature) (the
Gumbel-max trick), so greedy decoding with a seeded noise samples exactly, and the global generator has no part in it.

Shapes: B rows, V vocabulary, A answer tokens.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.distributed.fsdp import FSDPModule


class GumbelSampler:
    """A logits processor of transformers: noise by row and token, each row from a generator of its own."""

    def __init__(self, seeds: Sequence[int], temperature: float, device: torch.device) -> None:
        self._temperature = temperature
        self._generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: torch.Tensor, scores_BV: torch.Tensor) -> torch.Tensor:
        shape, device = scores_BV.shape[1:], scores_BV.device
        # -log of an exponentially distributed number is one from Gumbel's distribution
        waits = [torch.empty(shape, device=device).exponential_(generator=each) for each in self._generators]
        return scores_BV.float() / self._temperature - torch.stack(waits).log()


def answer_tokens(
    model: Any, tokenizer: Any, prompts: Mapping[str, torch.Tensor], *, max_new_tokens: int, sampler: Any = None
) -> list[list[int]]:
    """The tokens that the model goes on with, B answers up to and with the token that ends each, where it was reached.

    Args:
        prompts: of `RowEncoder.prompts`, on the model's device.
        sampler: a logits processor; None takes the likeliest token.
    """
    from transformers import GenerationConfig, LogitsProcessorList

    config = GenerationConfig(
        max_new_tokens=max_new_tokens,
        do_sample=False,  # sampling is the processor's
        num_beams=1,
        repetition_penalty=1.0,  # what the checkpoint's own file says does not count in a measurement
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        # a placeholder of a picture that is not there
        suppress_tokens=[model.config.image_token_id, model.config.video_token_id],
    )
    processors = LogitsProcessorList([] if sampler is None else [sampler])
    tokens: torch.Tensor = model.generate(
        **prompts,
        generation_config=config,
        logits_processor=processors,
        synced_gpus=isinstance(model, FSDPModule),  # who is done first goes on beside the others
    )
    answers_BA = tokens[:, prompts["input_ids"].shape[1] :]
    return [_to_the_end(answer, tokenizer.eos_token_id) for answer in answers_BA.tolist()]


def _to_the_end(tokens: list[int], eos: int) -> list[int]:
    return tokens[: tokens.index(eos) + 1] if eos in tokens else tokens


def seed_of(*parts: object) -> int:
    """A seed made of names and numbers, unrelated between neighbours."""
    name = ":".join(map(str, parts))
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=7).digest(), "big")
