"""Captions that hardly differ, as those of one camera often do: text cannot tell such clips apart."""

from collections.abc import Sequence

from posttrain.data.words import distinct_words

# Captions that share at least this part of all their words hardly differ. On tiny models captions of 13 words that
# differ in one (a part of 0.85) guide too little for the gate's contrast, those of the demo sets (0.3 to 0.54) do.
ALIKE = 0.7
# All pairs are compared, so of a large source only so many captions, spread over it.
_MOST = 200


def hardly_differ(one: str, other: str) -> bool:
    """Whether two captions consist of nearly the same words."""
    first, second = distinct_words(one), distinct_words(other)
    return len(first & second) >= ALIKE * len(first | second)


def count_alike(captions: Sequence[str]) -> tuple[int, int]:
    """How many captions hardly differ from most of the others, and of how many this was asked."""
    looked_at = captions[:: -(-len(captions) // _MOST)] if captions else []
    others = len(looked_at) - 1
    alike = [sum(hardly_differ(caption, other) for other in looked_at) - 1 for caption in looked_at]
    return sum(number > others / 2 for number in alike), len(looked_at)
