"""Words of captions and answers, in languages with and without spaces between them."""

import re

# Scripts that are written without spaces: kana, Han, Thai, Lao, Burmese, Khmer. Each character counts as a word.
_UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
_WORD = re.compile(f"[{_UNSPACED}]|[^\\W{_UNSPACED}]+(?:['\u2019-][^\\W{_UNSPACED}]+)*")


def count_words(text: str) -> int:
    """Words of a text; punctuation is none."""
    return sum(1 for _ in _WORD.finditer(text))


def distinct_words(text: str) -> frozenset[str]:
    """The words of a text, each once, without regard to case."""
    return frozenset(match[0] for match in _WORD.finditer(text.casefold()))


def folded(text: str) -> str:
    """The text as it is compared with others: without regard to case and white space."""
    return " ".join(text.casefold().split())
