"""Whether what a model said is the right answer, and whether it is in the form that was asked for.

    completion --answers_in--> what it answers --right--> equal to the true one

The kind of the true answer decides how: one of the choices by letter or words; a number with its unit by value; a
formula by math-verify; a list item by item; anything else word by word.
"""

import re
from collections.abc import Sequence

from posttrain.data.answer_text import answers_in, plain, unwrap, words
from posttrain.data.choices import chosen
from posttrain.evaluation.formulas import looks_like_formula, parses, same_formula
from posttrain.evaluation.quantities import Quantity, read_quantity

_UNTAGGED = r"(?:(?!</?think>|</?answer>).)*"  # no tag inside a tag
_FORM = re.compile(rf"\s*<think>{_UNTAGGED}</think>\s*<answer>({_UNTAGGED})</answer>\s*", re.DOTALL)
_ASSIGNED = re.compile(r"^\s*[A-Za-z](?:_\{?\w+\}?)?\s*=\s*")
_LIST = re.compile(r"(?P<open>[\[(]?)\s*(?P<items>[^\[\](){}]+,[^\[\](){}]+?)\s*(?P<close>[\])]?)")


def right(completion: str, answer: str, choices: Sequence[str] = ()) -> bool:
    """Whether a completion gives the true answer, and no other.

    Args:
        answer: as the data has it: one of the choices, its letter, a free text; inside tags or not.
        choices: in the order of their letters; () for a free answer.
    """
    truth = answers_in(answer)[-1]
    if not choices:
        return all(same(truth, text) for text in answers_in(completion))
    true_position = chosen(truth, choices)
    return true_position is not None and all(_named(text, choices) == true_position for text in answers_in(completion))


def same(truth: str, text: str) -> bool:
    """Whether a free answer equals the true one, which decides how they are compared."""
    if unwrap(truth) == unwrap(text):
        return bool(unwrap(text))
    exact = read_quantity(truth)
    if exact is not None:
        return _same_value(truth, exact, text)
    items = _items(truth)
    if items is not None:
        others = _items(text)
        return others is not None and len(others) == len(items) and all(map(same, items, others))
    if looks_like_formula(truth):
        return same_formula(truth, text) if parses(truth) else _squeezed(truth) == _squeezed(text)
    return words(truth) == words(text)


def kind(answer: str, choices: Sequence[str] = ()) -> str:
    """How `right` compares an answer: "choice", "number", "list", "formula", "text", or "formula as text"."""
    truth = answers_in(answer)[-1]
    if choices:
        return "choice"
    if read_quantity(truth) is not None:
        return "number"
    if _items(truth) is not None:
        return "list"
    if looks_like_formula(truth):
        return "formula" if parses(truth) else "formula as text"
    return "text"


def well_formed(completion: str) -> bool:
    """Whether it is <think>...</think><answer>...</answer>, each exactly once, the answer not empty."""
    found = _FORM.fullmatch(completion)
    return found is not None and bool(found[1].strip())


def _named(text: str, choices: Sequence[str]) -> int | None:
    """The choice that a text names; by value where it names none in words: 0.5 is the choice 1/2."""
    position = chosen(text, choices)
    if position is not None or (read_quantity(text) is None and not looks_like_formula(text)):
        return position
    equal = [position for position, choice in enumerate(choices) if same(choice, text)]
    return equal[0] if len(equal) == 1 else None


def _same_value(truth: str, exact: Quantity, text: str) -> bool:
    value = _ASSIGNED.sub("", plain(unwrap(text)))
    given = read_quantity(value, decimal_comma="," not in truth)
    if given is not None:
        return exact.equals(given)
    return looks_like_formula(value) and parses(truth) and same_formula(truth, value)


def _items(text: str) -> list[str] | None:
    """The brackets and the items of a list that holds a number or a formula; None for any other text."""
    found = _LIST.fullmatch(plain(unwrap(text)))
    if found is None:
        return None
    items = [item.strip() for item in found["items"].split(",")]
    if not all(items) or not any(read_quantity(item) or looks_like_formula(item) for item in items):
        return None
    return [found["open"] or "-", found["close"] or "-", *items]


def _squeezed(text: str) -> str:
    text = re.sub(r"\s", "", plain(unwrap(text)))
    return text if "\\" in text else text.casefold()
