"""The tiny text side of Predict2 and Predict1: a Unigram tokenizer and a random T5 encoder that reads its tokens.

As with `text.py`, nothing is trained: different captions need only read differently. Words of small videos are one
token each, other words are spelled out.
"""

import string
from pathlib import Path
from typing import Any

from tools.tiny.text import WORDS

EMBED_DIM = 64
_NUM_LAYERS = 2
_EXTRA_IDS = 100  # T5's own


def build_tokenizer() -> Any:
    """A `T5TokenizerFast` over the words of the demo captions and printable ASCII; the same on every machine."""
    from transformers import T5TokenizerFast

    words = dict.fromkeys(form for word in WORDS.split() for form in (word, word.capitalize()) if len(word) > 1)
    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -4.0)]
    vocab += [(f"▁{word}", -2.0) for word in words]
    vocab += [(letter, -8.0) for letter in string.ascii_letters + string.digits + string.punctuation]
    vocab += [(f"<extra_id_{i}>", 0.0) for i in reversed(range(_EXTRA_IDS))]
    return T5TokenizerFast(vocab=vocab, extra_ids=_EXTRA_IDS, model_max_length=512)


def build_text_encoder(tokenizer: Any) -> Any:
    """A random T5 encoder, `EMBED_DIM` channels a token; weights from torch's global generator, seed it before."""
    from transformers import T5Config, T5EncoderModel

    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=EMBED_DIM,
        d_kv=16,
        d_ff=2 * EMBED_DIM,
        num_layers=_NUM_LAYERS,
        num_heads=4,
        is_encoder_decoder=False,
        use_cache=False,
    )
    return T5EncoderModel(config).eval()


def load_text(folder: Path) -> dict[str, Any]:
    """The tokenizer and the encoder of the checkpoint in `folder`, by the names of its components."""
    from transformers import T5EncoderModel, T5TokenizerFast

    return {
        "tokenizer": T5TokenizerFast.from_pretrained(folder / "tokenizer", local_files_only=True),
        "text_encoder": T5EncoderModel.from_pretrained(folder / "text_encoder", local_files_only=True).eval(),
    }
