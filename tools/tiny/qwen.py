"""`tiny:qwen2.5-vl` and `tiny:qwen3-vl`: a published vision-language model at a ten-thousandth of its size.

    fitted tokenizer + processors + random model --assemble--> a checkpoint folder
    rows of demo:digits-general --qwen_pretrain--> the model's weights in that folder

Classes, special tokens, patch sizes and chat templates are those of Qwen2.5-VL (Cosmos-Reason1) and of Qwen3-VL
(Cosmos-Reason2); a picture becomes four tokens.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from posttrain.data.rows import TAGS_WANTED
from posttrain.models.loading import quiet
from posttrain.models.torchvision_shim import ensure_torchvision

VOCAB_SIZE = 640
HIDDEN_SIZE = 64
# With the usual 0.02 a model of this size learns the text and never looks at the picture.
_INITIALIZER_RANGE = 0.1
_SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>",
    "<|video_pad|>",
)  # fmt: skip
# Each becomes one token, with its space, in lower case and capitalised; any other word is spelled out in bytes.
_WORDS = """
a is it this the which what where way digit number picture clip here there written you see happens does do move moves
zero one two three four five six seven eight nine even odd large small larger smaller than left right up down or and
yes no in of how many
"""
_FRAME = (
    TAGS_WANTED,
    "<think></think><answer></answer>",
    "You are a helpful assistant.",
    "system\n",
    "user\n",
    "assistant\n",
    "A. B. C. D.",
    "\n",
)
_TOKENS = {"image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>"}
_VISION_TOKENS = {"vision_start_token_id": "<|vision_start|>", "vision_end_token_id": "<|vision_end|>"}


@dataclass(frozen=True)
class Generation:
    """What differs between the two: sizes of the vision tower, the template that TRL ships, and the classes."""

    template: str
    patch_size: int
    mean: float
    build: Callable[[Any], Any]
    build_processor: Callable[["Generation", Any], Any]


def assemble(name: str, folder: Path) -> None:
    """Writes every file of the checkpoint `name`, the model with random weights from torch's global generator."""
    ensure_torchvision()
    generation = GENERATIONS[name]
    tokenizer = build_tokenizer(generation.template)
    model = generation.build(tokenizer)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    quiet()
    model.save_pretrained(folder)
    generation.build_processor(generation, tokenizer).save_pretrained(folder)


def build_tokenizer(template: str) -> Any:
    """A `Qwen2Tokenizer` of `VOCAB_SIZE` tokens; the same on every machine."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import Qwen2Tokenizer

    fitted = Tokenizer(models.BPE())
    # the same splitting as Qwen2Tokenizer's, or merges would be learnt that it can never use
    fitted.pre_tokenizer = Qwen2Tokenizer()._tokenizer.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE - len(_SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words = [form for word in _WORDS.split() for form in (f" {word}", word, f" {word.capitalize()}", word.capitalize())]
    fitted.train_from_iterator([*words, *_FRAME, *_FRAME], trainer)
    return Qwen2Tokenizer(
        vocab=fitted.get_vocab(),
        merges=[tuple(pair) for pair in json.loads(fitted.to_str())["model"]["merges"]],
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=list(_SPECIAL),
        chat_template=(files("trl") / "chat_templates" / template).read_text(encoding="utf-8"),
        model_max_length=4096,
    )


def _text_config(tokenizer: Any) -> dict[str, Any]:
    return {
        "vocab_size": VOCAB_SIZE,
        "hidden_size": HIDDEN_SIZE,
        "intermediate_size": 2 * HIDDEN_SIZE,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "initializer_range": _INITIALIZER_RANGE,
        "bos_token_id": tokenizer.convert_tokens_to_ids("<|endoftext|>"),
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def _vision_config() -> dict[str, Any]:
    return {
        "depth": 2,
        "hidden_size": HIDDEN_SIZE,
        "intermediate_size": 2 * HIDDEN_SIZE,
        "num_heads": 4,
        "out_hidden_size": HIDDEN_SIZE,
        "initializer_range": _INITIALIZER_RANGE,
    }


def _token_ids(tokenizer: Any) -> dict[str, int]:
    return {name: tokenizer.convert_tokens_to_ids(token) for name, token in (_TOKENS | _VISION_TOKENS).items()}


def _qwen25(tokenizer: Any) -> Any:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]}
    config = Qwen2_5_VLConfig(
        text_config=_text_config(tokenizer) | {"rope_parameters": rope},
        vision_config=_vision_config() | {"fullatt_block_indexes": [1]},
        initializer_range=_INITIALIZER_RANGE,
        **_token_ids(tokenizer),
    )
    return Qwen2_5_VLForConditionalGeneration(config)


def _qwen3(tokenizer: Any) -> Any:
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    rope = {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [4, 2, 2], "mrope_interleaved": True}
    config = Qwen3VLConfig(
        text_config=_text_config(tokenizer) | {"rope_parameters": rope, "head_dim": 16},
        vision_config=_vision_config() | {"deepstack_visual_indexes": [0], "num_position_embeddings": 64},
        initializer_range=_INITIALIZER_RANGE,
        **_token_ids(tokenizer),
    )
    return Qwen3VLForConditionalGeneration(config)


def _qwen25_processor(generation: Generation, tokenizer: Any) -> Any:
    from transformers import Qwen2_5_VLProcessor, Qwen2VLImageProcessor, Qwen2VLVideoProcessor

    return Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(**_pixels(generation)),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(**_pixels(generation)),
        chat_template=tokenizer.chat_template,
    )


def _qwen3_processor(generation: Generation, tokenizer: Any) -> Any:
    from transformers import Qwen2VLImageProcessor, Qwen3VLProcessor, Qwen3VLVideoProcessor

    # the video processor of Qwen3-VL counts the pixels of all frames
    size = (2 * generation.patch_size) ** 2
    video = _pixels(generation) | {"size": {"shortest_edge": size, "longest_edge": 32 * 4 * size}}
    return Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(**_pixels(generation)),
        tokenizer=tokenizer,
        video_processor=Qwen3VLVideoProcessor(**video, max_video_tokens=4),
        chat_template=tokenizer.chat_template,
    )


def _pixels(generation: Generation) -> dict[str, Any]:
    """A picture of at most two by two tokens."""
    token = (2 * generation.patch_size) ** 2
    settings: dict[str, Any] = {
        "size": {"shortest_edge": token, "longest_edge": 4 * token},
        "patch_size": generation.patch_size,
        "merge_size": 2,
        "temporal_patch_size": 2,
    }
    if generation.mean:
        settings |= {"image_mean": [generation.mean] * 3, "image_std": [generation.mean] * 3}
    return settings


GENERATIONS = {
    "tiny:qwen2.5-vl": Generation("qwen2_5_vl.jinja", 14, 0.0, _qwen25, _qwen25_processor),
    "tiny:qwen3-vl": Generation("qwen3_vl.jinja", 16, 0.5, _qwen3, _qwen3_processor),
}
