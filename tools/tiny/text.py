"""The tiny text side of Predict2.5: a byte-level BPE tokenizer and a random Qwen2.5-VL that reads its tokens.

Nothing here is trained: cross-attention learns to read whatever a fixed random encoder says of a caption, as long as
different captions say different things. The tokenizer is fitted to the words that captions of small videos are made
of, so that the pipeline's own system message and a caption of the demo sets fit into 64 tokens.
"""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

VOCAB_SIZE = 640
HIDDEN_SIZE = 64
NUM_LAYERS = 2
# Predict2.5 concatenates the hidden states of all layers of its text encoder.
EMBED_DIM = HIDDEN_SIZE * NUM_LAYERS

_SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
# The message that Cosmos2_5_PredictBasePipeline puts before every prompt, and the chat template's own words.
_FRAME = (
    "You are a helpful assistant who will provide prompts to an image generator.",
    "You are a helpful assistant.",
    "system\n",
    "user\n",
    "assistant\n",
)
# Each becomes one token, with its space, in lower case and capitalised; any other word is spelled out in bytes.
WORDS = """
a an and the of on in out one two three body bodies camera fixed tracking follows zooms
large small wide narrow soft wall ground disc square ring cross triangle bar stripes checkerboard wave
red orange yellow green cyan blue magenta white black grey brown navy olive lilac
falling thrown rolling moves drift turns grows shrinks stands still circle left right up down
"""


def build_tokenizer() -> Any:
    """A `Qwen2Tokenizer` of `VOCAB_SIZE` tokens with the chat template of Qwen2.5-VL; the same on every machine."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import Qwen2Tokenizer

    fitted = Tokenizer(models.BPE())
    # The same splitting as Qwen2Tokenizer's, or merges would be learnt that it can never use.
    fitted.pre_tokenizer = Qwen2Tokenizer()._tokenizer.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE - len(_SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words = [form for word in WORDS.split() for form in (f" {word}", f" {word}", f" {word.capitalize()}")]
    fitted.train_from_iterator([*words, *_FRAME, *_FRAME], trainer)
    return Qwen2Tokenizer(
        vocab=fitted.get_vocab(),
        merges=[tuple(pair) for pair in json.loads(fitted.to_str())["model"]["merges"]],
        eos_token="<|im_end|>",
        extra_special_tokens=list(_SPECIAL),
        chat_template=(files("trl") / "chat_templates" / "qwen2_5_vl.jinja").read_text(encoding="utf-8"),
        model_max_length=4096,
    )


def build_text_encoder(tokenizer: Any) -> Any:
    """A random Qwen2.5-VL, `EMBED_DIM` channels a token; its vision tower is there for the layout only.

    Weights come from torch's global generator; seed it before.
    """
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    token = tokenizer.convert_tokens_to_ids
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": VOCAB_SIZE,
            "hidden_size": HIDDEN_SIZE,
            "intermediate_size": 2 * HIDDEN_SIZE,
            "num_hidden_layers": NUM_LAYERS,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]},
            "bos_token_id": token("<|endoftext|>"),
            "eos_token_id": token("<|im_end|>"),
            "pad_token_id": token("<|endoftext|>"),
        },
        vision_config={
            "depth": 1,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "out_hidden_size": HIDDEN_SIZE,
            "fullatt_block_indexes": [0],
        },
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
    )
    return Qwen2_5_VLForConditionalGeneration(config).eval()


def load_text(folder: Path) -> dict[str, Any]:
    """The tokenizer and the encoder of the checkpoint in `folder`, by the names of its components."""
    from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2Tokenizer

    encoder = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder / "text_encoder", local_files_only=True)
    return {
        "tokenizer": Qwen2Tokenizer.from_pretrained(folder / "tokenizer", local_files_only=True),
        "text_encoder": encoder.eval(),
    }
