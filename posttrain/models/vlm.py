"""A loaded vision-language checkpoint: Qwen2.5-VL (Cosmos-Reason1) or Qwen3-VL (Cosmos-Reason2) of transformers.

Weights are read from safetensors alone, no code of a checkpoint is run, and nothing is fetched.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from posttrain.data import Row, RowSpec
from posttrain.errors import ModelError
from posttrain.models.fingerprint import fingerprint
from posttrain.models.torchvision_shim import ensure_torchvision
from posttrain.models.vlm_rows import RowEncoder

_BATCH = 16  # rows that are generated for at a time


class TokenLosses(NamedTuple):
    """Cross-entropy, whether the likeliest token is the right one, and whether it is supervised; each (B, L - 1).

    The first two are zero where the third is.
    """

    losses: torch.Tensor
    right: torch.Tensor
    supervised: torch.Tensor


class VisionLanguageModel:
    """The model with its processor: rows to batches, batches to a loss, prompts to answers.

    Attributes:
        model: the transformers model; a strategy may put a trained one in its place.
        weights_key: names the weights that trials start from.
    """

    def __init__(self, model: Any, processor: Any, spec: RowSpec, weights_key: str, max_tokens: int | None) -> None:
        self.model = model
        self.processor = processor
        self.spec = spec
        self.weights_key = weights_key
        self.encoder = RowEncoder(processor, spec, max_tokens)

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        dtype: torch.dtype,
        device: torch.device,
        spec: RowSpec | None = None,
        max_tokens: int | None = None,
    ) -> "VisionLanguageModel":
        """Loads the checkpoint in `folder`.

        Args:
            spec: how videos are sampled.
            max_tokens: the longest row that is taken, prompt and answer; None takes any.

        Raises:
            ModelError: transformers cannot read it.
        """
        ensure_torchvision()
        from transformers import AutoModelForImageTextToText, AutoProcessor

        options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            model = AutoModelForImageTextToText.from_pretrained(folder, dtype=dtype, use_safetensors=True, **options)
            processor = AutoProcessor.from_pretrained(folder, **options)
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"model.checkpoint: transformers cannot load {folder} ({error})") from error
        model.to(device).eval().requires_grad_(False)
        return cls(model, processor, spec or RowSpec(), fingerprint(folder), max_tokens)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return torch.device(self.model.device)

    def collate(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        """A batch to train on, on the CPU; see `RowEncoder.collate`."""
        return self.encoder.collate(rows)

    def to_device(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The batch where the model is."""
        return {name: value.to(self.device) for name, value in batch.items()}

    @torch.no_grad()
    def token_losses(self, batch: dict[str, torch.Tensor]) -> "TokenLosses":
        """The teacher-forced loss of each token of a batch of `collate`, in float32."""
        batch = self.to_device(batch)
        labels = batch["labels"][:, 1:]
        inputs = {name: value for name, value in batch.items() if name != "labels"}
        logits = self.model(**inputs, use_cache=False).logits[:, :-1].float()
        supervised = labels >= 0
        targets = labels.clamp(min=0)
        losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), targets, reduction="none")
        return TokenLosses(losses * supervised, (logits.argmax(-1) == targets) & supervised, supervised)

    @torch.no_grad()
    def generate(
        self, rows: Sequence[Row], *, max_new_tokens: int, temperature: float = 0.0, seed: int = 0
    ) -> list[str]:
        """What the model says to each row, without special tokens.

        Args:
            temperature: 0 takes the likeliest token; above it tokens are sampled, for each row from a generator of
                its own, made of `seed` and the row's id: a batch does not change what is drawn for a row.
        """
        was_training = self.model.training
        self.model.eval()
        try:
            texts: list[str] = []
            for begin in range(0, len(rows), _BATCH):
                texts += self._generate(rows[begin : begin + _BATCH], max_new_tokens, temperature, seed)
        finally:
            self.model.train(was_training)
        return texts

    def _generate(self, rows: Sequence[Row], max_new_tokens: int, temperature: float, seed: int) -> list[str]:
        from transformers import GenerationConfig, LogitsProcessorList

        batch = self.to_device(self.encoder.prompts(rows))
        tokenizer = self.processor.tokenizer
        config = GenerationConfig(
            max_new_tokens=max_new_tokens,
            do_sample=False,  # sampling is the processor's below
            num_beams=1,
            repetition_penalty=1.0,  # what the checkpoint's own file says does not count in a measurement
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        processors = LogitsProcessorList([_RowSampler(rows, temperature, seed)] if temperature > 0 else [])
        tokens = self.model.generate(**batch, generation_config=config, logits_processor=processors)
        answers = tokens[:, batch["input_ids"].shape[1] :]
        return list(tokenizer.batch_decode(answers, skip_special_tokens=True))


class _RowSampler:
    """Adds Gumbel noise to the logits, so that the likeliest token is a sample (Gumbel-max); noise by row and step."""

    def __init__(self, rows: Sequence[Row], temperature: float, seed: int) -> None:
        self._temperature = temperature
        self._generators = [torch.Generator().manual_seed(_seed(f"{seed}:{row.id}")) for row in rows]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        noise = torch.stack([torch.rand(scores.shape[1], generator=generator) for generator in self._generators])
        gumbel = -torch.log(-torch.log(noise.clamp(1e-20, 1 - 1e-7)))
        return scores.float() / self._temperature + gumbel.to(scores.device)


def _seed(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=7).digest(), "big")
