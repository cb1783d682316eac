"""Whether what a model said is the right answer, and whether it is in the form that was asked for. Pure text.

completion --said--> the answer's own words --right--> equal to the true one, by letter, by text, or normalised
"""

import re
import unicodedata
from collections.abc import Sequence

from posttrain.data.rows import letter

_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_UNTAGGED = r"(?:(?!</?think>|</?answer>).)*"  # no tag inside a tag
_FORM = re.compile(rf"\s*<think>{_UNTAGGED}</think>\s*<answer>({_UNTAGGED})</answer>\s*", re.DOTALL)
# A number with its sign, thousands in commas, or a word.
_TOKEN = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?|\w+")
_ARTICLES = ("a", "an", "the")
# A capital that is marked as a letter: (B)  *B*  B.  B)  B:  "answer is B"  "option B", or the text's last word.
_LETTER = re.compile(
    r"(?:[(*]|(?i:answer is|answer:|option|choice)\s+)([A-Z])(?![\w'])|(?<![\w'])([A-Z])(?=[.):*]|\s*$)"
)


def said(completion: str) -> list[str]:
    """What stands inside <answer>...</answer>, once for each pair of tags; without tags all that follows a thought."""
    tagged = _ANSWER.findall(completion)
    return tagged or [completion.rsplit("</think>", 1)[-1]]


def right(completion: str, answer: str, choices: Sequence[str] = ()) -> bool:
    """Whether a completion gives the true answer, and no other.

    Args:
        answer: as the data has it: one of the choices, its letter, a free text; inside tags or not.
        choices: in the order of their letters; () for a free answer, which must be equal after normalisation.
    """
    truth = said(answer)[-1]
    if not choices:
        return all(normalised(text) == normalised(truth) for text in said(completion))
    true_position = chosen(truth, choices)
    return true_position is not None and all(chosen(text, choices) == true_position for text in said(completion))


def well_formed(completion: str) -> bool:
    """Whether it is <think>...</think><answer>...</answer>, each exactly once, the answer not empty."""
    found = _FORM.fullmatch(completion)
    return found is not None and bool(found[1].strip())


def chosen(text: str, choices: Sequence[str]) -> int | None:
    """The position of the one choice that a text names, by words or by letter; None where it names none or several."""
    spelled = [position for position, choice in enumerate(choices) if choice.casefold() == text.strip().casefold()]
    bare = re.sub(r"\W", "", text)
    if not spelled and len(bare) == 1:
        spelled = sorted(_positions([bare.upper()], len(choices)))
    named = set(spelled) or _by_words(normalised(text), choices) | _by_letter(text, choices)
    return next(iter(named)) if len(named) == 1 else None


def normalised(text: str) -> tuple[str, ...]:
    """The words of a text without case, punctuation and articles; numbers by their value."""
    text = unicodedata.normalize("NFKC", text).casefold()
    words = [_number(token) for token in _TOKEN.findall(text)]
    telling = [word for word in words if word not in _ARTICLES] or words
    return tuple(telling) or (text.strip(),)


def _number(token: str) -> str:
    if not token.lstrip("-")[:1].isdigit():
        return token
    try:
        return f"{float(token.replace(',', '')):.12g}"
    except ValueError:  # digits of another script, or a word that begins with one
        return token


def _by_words(words: tuple[str, ...], choices: Sequence[str]) -> set[int]:
    """Choices whose words stand in the text one after the other, unless they are part of a longer choice that does."""
    spans = [
        (start, start + len(wanted), position)
        for position, wanted in enumerate(map(normalised, choices))
        for start in range(len(words) - len(wanted) + 1)
        if words[start : start + len(wanted)] == wanted
    ]
    return {
        position
        for start, end, position in spans
        if not any(a <= start and end <= b and b - a > end - start for a, b, _ in spans)
    }


def _by_letter(text: str, choices: Sequence[str]) -> set[int]:
    for choice in sorted(choices, key=len, reverse=True):  # the C of "vitamin C" is no letter of a choice
        text = re.sub(rf"(?<!\w){re.escape(choice)}(?!\w)", "#", text, flags=re.IGNORECASE)
    return _positions([first or second for first, second in _LETTER.findall(text)], len(choices))


def _positions(letters: Sequence[str], num_choices: int) -> set[int]:
    return {position for position in range(num_choices) if letter(position) in letters}
