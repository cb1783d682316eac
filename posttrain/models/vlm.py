"""A loaded vision-language checkpoint: Qwen2.5-VL (Cosmos-Reason1) or Qwen3-VL (Cosmos-Reason2) of transformers.

Weights are read from safetensors alone, no code of a checkpoint is run, and nothing is fetched.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from posttrain.data import Row, RowSpec
from posttrain.errors import ModelError
from posttrain.models.fingerprint import fingerprint
from posttrain.models.loading import evaluating, quiet
from posttrain.models.sampling import GumbelSampler, answer_tokens, seed_of
from posttrain.models.torchvision_shim import ensure_torchvision
from posttrain.models.vlm_rows import RowEncoder

_OPTIONS: dict[str, Any] = {"use_safetensors": True, "local_files_only": True, "trust_remote_code": False}


class TokenLosses(NamedTuple):
    """Cross-entropy, whether the likeliest token is the right one, and whether it is supervised; each (B, K).

    K counts the positions at which some row has a token of its answer. The first two are zero where the third is.
    """

    losses: torch.Tensor
    right: torch.Tensor
    supervised: torch.Tensor


class VisionLanguageModel:
    """The model with its processor: rows to batches, batches to a loss, prompts to answers.

    Attributes:
        model: the transformers model; a strategy may put a trained one in its place.
        device: where it computes.
        weights_key: names the weights that trials start from.
    """

    def __init__(self, model: Any, processor: Any, spec: RowSpec, weights_key: str, max_tokens: int | None) -> None:
        self.model = model
        self.processor = processor
        self.spec = spec
        self.weights_key = weights_key
        self.device = torch.device(model.device)
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
        max_pixels: int | None = None,
    ) -> "VisionLanguageModel":
        """Loads the checkpoint in `folder`.

        Args:
            spec: how videos are sampled.
            max_tokens: the longest row that is taken, prompt and answer; None takes any.
            max_pixels: larger pictures and frames are scaled down to it; None leaves the processor's own limit.

        Raises:
            ModelError: transformers cannot read it.
        """
        ensure_torchvision()
        from transformers import AutoModelForImageTextToText, AutoProcessor

        quiet()
        try:
            model = AutoModelForImageTextToText.from_pretrained(folder, dtype=dtype, **_OPTIONS)
            processor = AutoProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"model.checkpoint: transformers cannot load {folder} ({error})") from error
        if max_pixels is not None:
            limit_pixels(processor, max_pixels)
        model.to(device).eval().requires_grad_(False)
        return cls(model, processor, spec or RowSpec(), fingerprint(folder), max_tokens)

    @property
    def modules(self) -> Mapping[str, torch.nn.Module]:
        """The one network that can be trained; its folder is the checkpoint's own, so its name is empty."""
        return {"": self.model}

    def replace(self, name: str, module: torch.nn.Module) -> None:
        """Puts another network in the model's place."""
        assert name == ""
        self.model = module

    @property
    def reading_key(self) -> str:
        """Names how rows become tensors, besides the checkpoint's own files."""
        limits = (self.processor.image_processor.size, self.processor.video_processor.size)
        return f"{self.spec}:{self.encoder.max_tokens}:{limits}"

    def write(self, name: str, network: torch.nn.Module, state: Mapping[str, torch.Tensor], folder: Path) -> None:
        """Writes a whole checkpoint that plain transformers loads: weights, configuration and processor."""
        published: Any = network
        published.save_pretrained(folder, state_dict={key: value.float() for key, value in state.items()})
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        config["dtype"] = "float32"  # the base's own would round what was trained when it is loaded
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        self.processor.save_pretrained(folder)

    def read(self, name: str, folder: Path) -> dict[str, torch.Tensor]:
        """The weights that `write` wrote, under their names in the model: files may have the published ones."""
        kind: Any = type(self.model)
        state: dict[str, torch.Tensor] = kind.from_pretrained(folder, dtype=torch.float32, **_OPTIONS).state_dict()
        return state

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
        supervised = labels >= 0
        # the vocabulary is wide and the answers are short: only positions that some row answers at become logits
        (kept_K,) = supervised.any(0).nonzero(as_tuple=True)
        logits_BKV = self.model(**inputs, use_cache=False, logits_to_keep=kept_K).logits.float()
        labels, supervised = labels[:, kept_K], supervised[:, kept_K]
        targets = labels.clamp(min=0)
        losses = torch.nn.functional.cross_entropy(logits_BKV.transpose(1, 2), targets, reduction="none")
        return TokenLosses(losses * supervised, (logits_BKV.argmax(-1) == targets) & supervised, supervised)

    def generate(
        self,
        rows: Sequence[Row],
        *,
        max_new_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
        batch_size: int = 16,
    ) -> list[str]:
        """What the model says to each row, without special tokens; see `speak`."""
        said = self.speak(
            rows, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed, batch_size=batch_size
        )
        return [text for text, _ in said]

    @torch.no_grad()
    def speak(
        self, rows: Sequence[Row], *, max_new_tokens: int, temperature: float, seed: int, batch_size: int
    ) -> list[tuple[str, int]]:
        """What the model says to each row, without special tokens, and its length in tokens.

        The text begins with the `<think>` that the prompt opened, if it did.

        Args:
            temperature: 0 takes the likeliest token; above it tokens are sampled, for each row from a generator of
                its own, made of `seed` and the row's id: a batch does not change what is drawn for a row.
        """
        tokenizer = self.processor.tokenizer
        said: list[tuple[str, int]] = []
        with evaluating([self.model]):
            for begin in range(0, len(rows), batch_size):
                some = rows[begin : begin + batch_size]
                seeds = [seed_of(seed, row.id) for row in some]
                sampler = GumbelSampler(seeds, temperature, self.device) if temperature > 0 else None
                prompts = self.to_device(self.encoder.prompts(some))
                tokens = answer_tokens(self.model, tokenizer, prompts, max_new_tokens=max_new_tokens, sampler=sampler)
                texts = tokenizer.batch_decode(tokens, skip_special_tokens=True)
                said += [(self.encoder.opening + text, len(each)) for text, each in zip(texts, tokens, strict=True)]
        return said


def limit_pixels(processor: Any, max_pixels: int) -> None:
    """Makes the processor scale larger pictures, and larger frames of videos, down to `max_pixels`."""
    pictures, videos = processor.image_processor, processor.video_processor
    pictures.size = _below(pictures.size, max_pixels)
    if hasattr(videos, "max_video_tokens") and type(videos).__name__ == "Qwen3VLVideoProcessor":
        # its `size` is for all frames together; a frame's limit is in tokens
        videos.max_video_tokens = max(1, max_pixels // (videos.patch_size * videos.merge_size) ** 2)
        return
    videos.size = _below(videos.size, max_pixels)


def _below(size: Any, max_pixels: int) -> dict[str, int]:
    return {"shortest_edge": min(size["shortest_edge"], max_pixels), "longest_edge": max_pixels}
