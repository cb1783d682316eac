"""Answers that people would call right are right; what names two answers, or another one, is not."""

import pytest

from posttrain.evaluation.matching import chosen, right, well_formed

DIGITS = ("one", "three", "seven", "nine")
PLACES = ("left", "upper left", "right", "none of these")


@pytest.mark.parametrize(
    ("completion", "is_right"),
    [
        ("<think>hm</think><answer>seven</answer>", True),
        ("<think>hm</think>\n<answer>\n Seven. \n</answer>", True),
        ("<answer>C</answer>", True),
        ("<answer>c)</answer>", True),
        ("<answer>C. seven</answer>", True),
        ("(C) seven", True),
        ("seven, I think.", True),
        ("The answer is C", True),
        ("<think>one or nine?</think>It is seven.", True),
        ("<answer>seven</answer> <answer>C</answer>", True),
        ("<answer>seven</answer> <answer>one</answer>", False),
        ("<answer>seven or nine</answer>", False),
        ("<answer>A. seven</answer>", False),
        ("one, three, seven, nine", False),
        ("<answer>seventeen</answer>", False),
        ("<answer>E</answer>", False),
        ("<answer></answer>", False),
        ("", False),
    ],
)
def test_multiple_choice(completion: str, is_right: bool) -> None:
    assert right(completion, "seven", DIGITS) is is_right
    assert right(completion, "C", DIGITS) is is_right  # the data may give the letter


def test_a_choice_inside_a_longer_one() -> None:
    assert chosen("it is in the upper left", PLACES) == 1
    assert chosen("it is to the left", PLACES) == 0
    assert chosen("upper left, not left", PLACES) is None


def test_choices_that_are_letters_or_numbers() -> None:
    assert chosen("A", ("B", "A")) == 1
    assert chosen("1,000", ("100", "1000")) == 1
    assert chosen("-5", ("5", "-5")) == 1


def test_a_capital_inside_a_choice_is_no_letter() -> None:
    vitamins = ("vitamin C", "vitamin D", "vitamin K")
    assert chosen("It is vitamin C.", vitamins) == 0
    assert chosen("(C) vitamin K", vitamins) == 2
    assert chosen("(C) vitamin D", vitamins) is None


def test_an_article_is_no_letter() -> None:
    assert chosen("A dog", ("cat", "dog")) == 1
    assert chosen("I see a dog", ("cat", "dog")) == 1


@pytest.mark.parametrize(
    ("completion", "answer", "is_right"),
    [
        ("The Cat!", "cat", True),
        ("<answer>7.0</answer>", "7", True),
        ("3.5", "35", False),
        ("-5", "5", False),
        ("It is a cat", "cat", False),
        ("café", "cafe\u0301", True),
        ("<think>a</think><answer>left</answer>", "<think></think><answer>left</answer>", True),
        ("<answer>left</answer><answer>right</answer>", "left", False),
        ("?", "!", False),
        ("", "left", False),
    ],
)
def test_free_text(completion: str, answer: str, is_right: bool) -> None:
    assert right(completion, answer) is is_right


@pytest.mark.parametrize(
    ("completion", "is_formed"),
    [
        ("<think></think><answer>one</answer>", True),
        ("<think>\nfirst\nthen\n</think>\n\n<answer>\none\n</answer>\n", True),
        ("<answer>one</answer>", False),
        ("<answer>one</answer><think>hm</think>", False),
        ("<think>hm</think><answer>one</answer><answer>one</answer>", False),
        ("<think><think>hm</think><answer>one</answer>", False),
        ("<think>hm</think><answer></answer>", False),
        ("<think>hm</think> so <answer>one</answer>", False),
        ("<think>hm</think><answer>one", False),
    ],
)
def test_form(completion: str, is_formed: bool) -> None:
    assert well_formed(completion) is is_formed
