"""Captions to embeddings: a text encoder that is in memory only while captions are encoded (7B or 11B published).

Predict2.5 and Transfer2.5 read captions with Qwen2.5-VL; their prompts are kept behind the transformer's own
`crossattn_proj`, which no strategy here trains: 1 MB a prompt instead of 103 MB. Predict2 and Predict1 read them with
T5, 1 MB a prompt.
"""

import gc
from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from posttrain.errors import ModelError
from posttrain.models.fingerprint import fingerprint, fingerprint_module


class Prompts(ABC):
    """Encodes captions with a pipeline's own `encode_prompt`."""

    def __init__(self, folder: Path, pipe: Any, max_sequence_length: int, dtype: torch.dtype) -> None:
        self.folder = folder
        self.pipe = pipe
        self.max_sequence_length = max_sequence_length
        self.dtype = dtype

    @abstractmethod
    def _encoder_class(self) -> Any:
        """The class in transformers of the checkpoint's `text_encoder/`."""

    @abstractmethod
    def _embed(self, prompt: str) -> torch.Tensor:
        """What the transformer's cross-attention reads, (L, D) on the pipeline's device."""

    @cached_property
    def key(self) -> str:
        """Names everything that embeddings depend on besides the text."""
        parts = [fingerprint(self.folder / part) for part in ("text_encoder", "tokenizer")]
        return "-".join([*parts, str(self.dtype), str(self.max_sequence_length)])

    @property
    def width(self) -> int:
        """D, the channels of an embedding."""
        return int(self.pipe.transformer.config.text_embed_dim)

    @property
    def taken(self) -> dict[str, torch.Tensor]:
        """Weights of the transformer's file that were taken out of the transformer for the text side."""
        return {}

    @torch.no_grad()
    def encode(self, prompts: list[str]) -> list[torch.Tensor]:
        """Embeddings (L, D) on the CPU, each caption for itself.

        Raises:
            ModelError: the checkpoint lacks its text encoder or its tokenizer.
        """
        encoder, tokenizer = self._load()
        self.pipe.register_modules(text_encoder=encoder.to(self.pipe.device).eval(), tokenizer=tokenizer)
        try:
            return [self._embed(prompt).cpu() for prompt in prompts]
        finally:
            self.pipe.register_modules(text_encoder=None, tokenizer=None)
            del encoder
            gc.collect()

    def _load(self) -> tuple[Any, Any]:
        from transformers import AutoTokenizer

        try:
            encoder = self._encoder_class().from_pretrained(
                self.folder,
                subfolder="text_encoder",
                dtype=self.dtype,
                use_safetensors=True,
                local_files_only=True,
            )
            tokenizer = AutoTokenizer.from_pretrained(self.folder, subfolder="tokenizer", local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(
                f"model.checkpoint: the text encoder of {self.folder} cannot be loaded: {error}"
            ) from error
        return encoder, tokenizer

    def _pipeline_embeds(self, prompt: str) -> torch.Tensor:
        embeds_1LD, _ = self.pipe.encode_prompt(
            prompt,
            do_classifier_free_guidance=False,
            max_sequence_length=self.max_sequence_length,
            device=self.pipe.device,
        )
        result: torch.Tensor = embeds_1LD
        return result


class QwenPrompts(Prompts):
    """Qwen2.5-VL behind the transformer's projection, which becomes the identity in the transformer."""

    def __init__(self, folder: Path, pipe: Any, max_sequence_length: int, dtype: torch.dtype) -> None:
        super().__init__(folder, pipe, max_sequence_length, dtype)
        self.projection: torch.nn.Module = pipe.transformer.crossattn_proj
        pipe.transformer.crossattn_proj = torch.nn.Identity().eval()

    @cached_property
    def key(self) -> str:
        """Names everything that embeddings depend on besides the text."""
        parts = [fingerprint(self.folder / part) for part in ("text_encoder", "tokenizer")]
        return "-".join([*parts, fingerprint_module(self.projection), str(self.max_sequence_length)])

    @property
    def width(self) -> int:
        """D, the channels of an embedding: those that the projection gives."""
        return projection_width(self.projection)

    @property
    def taken(self) -> dict[str, torch.Tensor]:
        """The projection, by its names in the transformer's file."""
        return {f"crossattn_proj.{name}": value for name, value in self.projection.state_dict().items()}

    def _encoder_class(self) -> Any:
        from transformers import Qwen2_5_VLForConditionalGeneration

        return Qwen2_5_VLForConditionalGeneration

    def _embed(self, prompt: str) -> torch.Tensor:
        projected: torch.Tensor = self.projection(self._pipeline_embeds(prompt))[0]
        return projected


class T5Prompts(Prompts):
    """T5's encoder; the pipelines zero the embeddings of padding tokens and pass no attention mask."""

    def _encoder_class(self) -> Any:
        from transformers import T5EncoderModel

        return T5EncoderModel

    def _embed(self, prompt: str) -> torch.Tensor:
        return self._pipeline_embeds(prompt)[0]


def projection_width(projection: Any) -> int:
    """The channels that a `crossattn_proj` gives."""
    return int(projection[0].out_features)
