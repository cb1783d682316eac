"""The choices of a question: their letters, and which of them an answer names.

The true answer of a row and a model's own answer are read by the same function, `chosen`.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from posttrain.data.answer_text import is_operator, unwrap, words

# A capital that is marked as a letter: (B)  *B*  B.  B)  B:  "answer is B"  "option B", the text's last word, and both
# of "A or B".
_LETTER = re.compile(
    r"(?:[(*]|(?i:answer is|answer:|option|choice)\s+)([A-Z])(?![\w'])|(?<![\w'])([A-Z])(?=[.):*]|\s*$"
    r"|\s*(?:[,/&]|or\b|and\b)\s*\(?[A-Z](?![\w']))"
)
# The letter that a choice carries itself: "A. red"  "(A) red"  "a) red"  "A: red"
_OWN_LETTER = re.compile(r"\(?([A-Za-z])[.):]\s*(?=\S)(?!\w[.):]\s)")
_NEGATION = re.compile(
    r"\b(?:not|neither|nor|never|except|cannot|without|unlikely|wrong|incorrect)\b|n['\u2019]t\b", re.I
)


def letter(position: int) -> str:
    """The letter that a choice is offered under: A, B, ..."""
    return chr(ord("A") + position)


def without_letters(choices: Sequence[str]) -> tuple[list[str], str]:
    """The choices without letters of their own, and those letters: "ABC", or "" where not all carry one."""
    found = [_OWN_LETTER.match(choice) for choice in choices]
    carried = [match for match in found if match]
    if len(carried) < len(choices) or len({match[1].isupper() for match in carried}) > 1:
        return list(choices), ""
    rest = [choice[match.end() :].strip() for choice, match in zip(choices, carried, strict=True)]
    return rest, "".join(match[1].upper() for match in carried)


def in_order_of_letters(choices: Mapping[str, Any]) -> list[Any]:
    """The values of a mapping, by their letters where these are A, B, ..., else in the order of the file."""
    given = {name: choice for name, choice in choices.items() if choice is not None}
    letters = [letter(position) for position in range(len(given))]
    by_letter = {name.upper(): choice for name, choice in given.items()}
    return [by_letter[name] for name in letters] if sorted(by_letter) == letters else list(given.values())


def chosen(text: str, choices: Sequence[str]) -> int | None:
    """The position of the one choice that a text names, by words or by letter; None where it names none or several."""
    text = unwrap(text)
    spelled = _spelled(text, choices)
    bare = re.sub(r"[\W_]", "", text)
    if not spelled and len(bare) == 1 and not any(is_operator(token) for token in words(text)):
        spelled = _positions([bare.upper()], len(choices))
    if len(spelled) == 1:
        return next(iter(spelled))
    rest = _without_choices(text, choices)
    if _NEGATION.search(rest):
        return None
    named = _by_words(words(text, hyphens=True), choices) | _positions(_marked_letters(rest), len(choices))
    return next(iter(named)) if len(named) == 1 else None


def _spelled(text: str, choices: Sequence[str]) -> set[int]:
    """Choices that the whole text is: to the letter if there is one, else by its words."""
    for form in (str.strip, str.casefold, words):
        found = {position for position, choice in enumerate(choices) if form(unwrap(choice)) == form(text)}
        if found:
            return found
    return set()


def _by_words(spoken: tuple[str, ...], choices: Sequence[str]) -> set[int]:
    """Choices whose words stand in the text one after the other, unless they are part of a longer choice that does."""
    spans = [
        (start, start + len(wanted), position)
        for position, wanted in enumerate(words(choice, hyphens=True) for choice in choices)
        for start in range(len(spoken) - len(wanted) + 1)
        if spoken[start : start + len(wanted)] == wanted and not _is_operand(spoken, start, start + len(wanted))
    ]
    return {
        position
        for start, end, position in spans
        if not any(a <= start and end <= b and b - a > end - start for a, b, _ in spans)
    }


def _is_operand(spoken: tuple[str, ...], start: int, end: int) -> bool:
    """Whether an operator ties what stands there to its neighbour: the 5 of 10/5 is not the answer 5."""
    before = spoken[start - 1] if start else ""
    after = spoken[end] if end < len(spoken) else ""
    return (is_operator(before) and before != "=") or is_operator(after)


def _without_choices(text: str, choices: Sequence[str]) -> str:
    for choice in sorted(choices, key=len, reverse=True):  # the C of "vitamin C" is no letter of a choice
        text = re.sub(rf"(?<!\w){re.escape(choice)}(?!\w)", "#", text, flags=re.IGNORECASE)
    return text


def _marked_letters(text: str) -> list[str]:
    return [first or second for first, second in _LETTER.findall(text)]


def _positions(letters: Sequence[str], num_choices: int) -> set[int]:
    return {position for position in range(num_choices) if letter(position) in letters}
