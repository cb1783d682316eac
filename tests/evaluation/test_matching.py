r"""Answers that people would call right are right; what names two answers, or another one, is not.

Every kind has right and wrong pairs: a sign, an operator or a unit must never be lost.
"""

import re
import threading
from pathlib import Path

import pytest

from posttrain.data.answer_text import answers_in
from posttrain.data.choices import chosen
from posttrain.evaluation.formulas import looks_like_formula, parses, same_formula
from posttrain.evaluation.matching import kind, right, well_formed

DIGITS = ("one", "three", "seven", "nine")
COLOURS = ("red", "green", "blue")
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
        (r"\boxed{C}", True),
        (r"So it must be $\boxed{\text{seven}}$.", True),
        (r"\text{seven}", True),
        ("**C**", True),
        ("Answer: C", True),
        ("answer: (c)", True),
        ("<answer>seven</answer> <answer>one</answer>", False),
        ("<answer>seven or nine</answer>", False),
        ("<answer>A. seven</answer>", False),
        ("one, three, seven, nine", False),
        ("<answer>seventeen</answer>", False),
        ("<answer>E</answer>", False),
        ("<answer></answer>", False),
        ("not seven", False),
        ("It isn't C", False),
        ("Neither, but seven comes near", False),
        (r"\boxed{A} or \boxed{C}", False),
        ("<think>it is seven", False),  # cut before an answer
        ("", False),
    ],
)
def test_multiple_choice(completion: str, is_right: bool) -> None:
    assert right(completion, "seven", DIGITS) is is_right
    assert right(completion, "C", DIGITS) is is_right  # the data may give the letter


@pytest.mark.parametrize("gold", ["B", "b", "(B)", "B.", "b)", "green", "Green", "B. green", "(B) Green", r"\boxed{B}"])
def test_the_true_answer_is_read_as_completions_are(gold: str) -> None:
    for completion in (
        "B",
        "(B)",
        "B.",
        "b",
        "green",
        "Green.",
        "B. green",
        "answer: B",
        r"\boxed{B}",
        r"\text{green}",
    ):
        assert right(completion, gold, COLOURS)
    for completion in ("A", "C. blue", "red", "B. red", "A or B", "not B", "red-green", "green/blue"):
        assert not right(completion, gold, COLOURS)


def test_a_choice_inside_a_longer_one() -> None:
    assert chosen("it is in the upper left", PLACES) == 1
    assert chosen("it is to the left", PLACES) == 0
    assert chosen("upper left, not left", PLACES) is None


def test_choices_that_are_letters_or_numbers() -> None:
    assert chosen("A", ("B", "A")) == 1
    assert chosen("1,000", ("100", "1000")) == 1
    assert chosen("-5", ("5", "-5")) == 1
    assert chosen("x = 5", ("5", "-5")) == 0
    assert chosen("10/5", ("5", "10")) is None
    assert chosen("5%", ("5", "50")) is None
    assert chosen("A+", ("A+", "A-")) == 0


def test_choices_that_are_formulas_are_told_apart_by_their_signs() -> None:
    choices = ("x+1", "x-1", r"\frac{1}{2}", "2x")
    assert [right(text, "x-1", choices) for text in ("x - 1", "B", "-1 + x", "x+1", "1-x")] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert [right(text, "C", choices) for text in ("1/2", "0.5", r"$\frac12$", "2", "1")] == [
        True,
        True,
        True,
        False,
        False,
    ]


def test_a_negation_that_belongs_to_a_choice() -> None:
    assert chosen("It is not visible", ("visible", "not visible")) == 1
    assert chosen("No.", ("yes", "no")) == 1


def test_a_capital_inside_a_choice_is_no_letter() -> None:
    vitamins = ("vitamin C", "vitamin D", "vitamin K")
    assert chosen("It is vitamin C.", vitamins) == 0
    assert chosen("(C) vitamin K", vitamins) == 2
    assert chosen("(C) vitamin D", vitamins) is None


def test_an_article_is_no_letter() -> None:
    assert chosen("A dog", ("cat", "dog")) == 1
    assert chosen("I see a dog", ("cat", "dog")) == 1


TEXTS = [
    ("The Cat!", "cat", True),
    ("<think>a</think><answer>left</answer>", "<think></think><answer>left</answer>", True),
    ("café", "cafe\u0301", True),
    ("The answer is left.", "left", True),
    (r"\text{red}", "red", True),
    ("**red**", "Red", True),
    ("ice-cream", "ice cream", True),
    ("H₂O", "H2O", True),
    ("c++", "C++", True),
    ("rooms 1,2", "rooms 1, 2", True),
    ("It is a cat", "cat", False),
    ("<answer>left</answer><answer>right</answer>", "left", False),
    ("vitamin", "vitamin A", False),
    ("C", "C#", False),
    ("C", "C++", False),
    ("not red", "red", False),
    ("1230", "12:30", False),
    ("12", "012", False),  # a number plate, not a number
    ("1.23", "1.2.3", False),
    ("-1", "3-4", False),  # a range, not a difference
    ("2008", "2024-01-15", False),
    ("?", "!", False),
    ("", "left", False),
]
NUMBERS = [
    ("<answer>7.0</answer>", "7", True),
    (r"\boxed{4}", "4", True),
    (r"Hence \boxed{4}.", "4", True),
    (r"\frac{1}{2}", "1/2", True),
    (r"$\frac{2}{4}$", "1/2", True),
    (r"\dfrac12", "0.5", True),
    ("½", "0.5", True),
    ("1 1/2", "1.5", True),
    ("1½", "3/2", True),
    ("0.333333", "1/3", True),
    ("x = 7", "7", True),
    ("1,000", "1000", True),
    ("10 000", "10,000", True),
    ("10\u202f000", "10000", True),
    ("3,5", "3.5", True),  # the comma of most of Europe
    ("−5", "-5", True),
    ("+5", "5", True),
    ("3e8", "300000000", True),
    (r"3 \times 10^{8}", "3e8", True),
    ("3×10⁸", "3e8", True),
    (r"\sqrt{16}", "4", True),
    ("50%", "0.5", True),
    (r"50\%", "50 percent", True),
    ("5cm", "5 cm", True),
    (r"5\,\text{cm}", "5.0 cm", True),
    ("90°", r"90^\circ", True),
    ("$5.00", "$5", True),
    ("7 apples", "7 Apples", True),
    ("3.5", "35", False),
    ("-5", "5", False),
    ("5", "−5", False),
    ("12", "1,2", False),  # two numbers
    ("1.234", "1,234", False),
    ("5100", "5, 100", False),
    ("0.33", "1/3", False),
    ("0.0000002", "0.0000001", False),
    ("108", "10⁸", False),
    ("3e7", "3e8", False),
    ("50", "50%", False),
    ("9%", "9", False),
    ("5 m", "5 cm", False),
    ("5 MW", "5 mW", False),
    ("5", "5 cm", False),
    ("5 cm", "5", False),
    ("5 or 6", "5", False),
    ("5!", "5", False),
    ("3x = 5", "5", False),
    ("3 = 5", "5", False),
    (r"\frac{1}{0}", "0", False),
    ("seven", "7", False),
    ("11/2", "1 1/2", False),
]
LISTS = [
    ("1,2", "1, 2", True),
    ("[0.50, 1/2]", "[1/2, 0.5]", True),
    ("(x+1, 2)", "(1+x, 2)", True),
    ("2, 1", "1, 2", False),  # nothing says that the order does not count
    ("[1, 2]", "(1, 2)", False),
    ("1, 2, 3", "1, 2", False),
    ("1", "1, 2", False),
    ("12", "1, 2", False),
]
FORMULAS = [
    ("x+1", "x+1", True),
    ("1 + x", "x+1", True),
    (r"$x + 1$", "x+1", True),
    (r"\boxed{x+1}", "x + 1", True),
    ("y = 2x + 3", "2x+3", True),
    ("2x+3", "y = 2x + 3", True),
    ("x^2+2x+1", "(x+1)^2", True),
    ("(x+1)**2", "(x+1)^2", True),
    ("x²+1", "x^2+1", True),
    ("x^2y^2", "(xy)^2", True),
    (r"\frac{\pi}{2}", "pi/2", True),
    ("π/2", r"\frac{\pi}{2}", True),
    ("sqrt(2)", r"\sqrt{2}", True),
    (r"2\sqrt{3}", r"\sqrt{12}", True),
    (r"\frac{\sqrt{2}}{2}", r"\frac{1}{\sqrt{2}}", True),
    ("mc^2 = E", "E = mc^2", True),
    ("c^2 = a^2 + b^2", "a^2 + b^2 = c^2", True),
    ("3 > x", "x < 3", True),
    (r"\{2, 1\}", r"\{1, 2\}", True),
    ("2 sin(x) cos(x)", r"\sin(2x)", True),
    ("4i+3", "3+4i", True),
    (r"\begin{pmatrix}1 & 2\\3 & 4\end{pmatrix}", r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", True),
    ("x-1", "x+1", False),
    ("x1", "x-1", False),
    ("-x", "x-0", False),
    ("x*y", "x+y", False),
    ("x/y", "y/x", False),
    ("x^3", "x^2", False),
    ("2^x", "x^2", False),
    ("x^2y", "x^{2y}", False),
    ("x > 3", "x < 3", False),
    ("x <= 3", "x < 3", False),
    ("x = 5", "y = 5", False),
    ("x - 5 = 0 = 0", "x = 5", False),
    ("1.414", r"\sqrt{2}", False),
    (r"\sqrt{3}", r"\sqrt{2}", False),
    (r"\frac{2}{1}", r"\frac{\pi}{2}", False),
    (r"3 \cdot 10^{-9} \pi", r"2 \cdot 10^{-9} \pi", False),
    ("G M / r^2", "G m / r^2", False),
    ("2x = 10", "x = 5", True),
    ("0.5x", "x/2", True),
    ("x^2 + 2 = 0", "x^2 + 1 = 0", False),  # neither has a real solution
    ("x^2 + 2 < 0", "x^2 + 1 < 0", False),
    ("-x < 3", "x < -3", False),
    ("-x < 3", "x > -3", True),
    (r"2x \cdot 10^{-20}", r"x \cdot 10^{-20}", False),
    ("x+1 or x-1", "x+1", False),
    ("x+1 is not right", "x+1", False),
    ("x +", "x + 1", False),
    ("x", "x + 1", False),
    ("", "x + 1", False),
]  # fmt: skip


@pytest.mark.parametrize(("completion", "answer", "is_right"), [*TEXTS, *NUMBERS, *LISTS, *FORMULAS])
def test_free_answers(completion: str, answer: str, is_right: bool) -> None:
    assert right(completion, answer) is is_right


def examples() -> list[tuple[str, str, bool]]:
    """The table of docs/answers.md: completion, true answer, whether it is right."""
    lines = (Path(__file__).parents[2] / "docs/answers.md").read_text(encoding="utf-8").splitlines()
    found = []
    for line in lines:
        cells = [re.findall(r"`([^`]+)`", cell) for cell in line.split("|")]
        if len(cells) == 6 and cells[2]:
            found += [(text, cells[2][0], True) for text in cells[3]] + [
                (text, cells[2][0], False) for text in cells[4]
            ]
    assert len(found) > 40
    return found


@pytest.mark.parametrize(("completion", "answer", "is_right"), examples())
def test_the_examples_of_the_manual(completion: str, answer: str, is_right: bool) -> None:
    assert right(completion, answer) is is_right


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([answer for _, answer, _ in NUMBERS if answer not in ("1,2", "5, 100", "10⁸")], "number"),
        ([answer for _, answer, _ in LISTS], "list"),
        ([answer for _, answer, _ in FORMULAS], "formula"),
        (["red", "tan", "x", "I see", "left/right", "24-hour", "t-shirt", "vitamin A"], "text"),
        ([r"\frac{1}{", "x + + ) 2", "C++"], "formula as text"),
    ],
)
def test_the_kind_of_an_answer(answers: list[str], expected: str) -> None:
    assert {answer: kind(answer) for answer in answers} == dict.fromkeys(answers, expected)
    assert kind(answers[0], ("a", "b")) == "choice"


def test_a_formula_that_cannot_be_parsed_is_compared_letter_by_letter() -> None:
    assert right(r"\frac{1}{ ", r"\frac{1}{")
    assert not right(r"\frac{2}{", r"\frac{1}{")


def test_formulas_are_compared_in_any_thread() -> None:
    """A worker of Ray Train computes outside the main thread, where math-verify's own time limit fails."""
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.extend([same_formula("q+7", "7+q"), same_formula("q+7", "q-7")]))
    thread.start()
    thread.join()
    assert found == [True, False]


@pytest.mark.parametrize("text", ["9^{9^{9^9}}", "x^{123456789}", "99999!", "x" + "+x" * 400, "9" * 50 + "x+1"])
def test_what_takes_too_long_is_wrong(text: str) -> None:
    assert not same_formula("x+1", text)
    assert parses("x+1")


@pytest.mark.parametrize(
    "text",
    [
        "9" * 9000,
        "1e" + "9" * 9000,
        "9" * 9000 + "/7",
        "$" * 3000,
        r"\boxed{" * 900,
        "(" * 400,
        "1," * 2000,
        "*" * 3000,
    ],
    ids=lambda text: text[:12],
)
def test_babble_is_wrong_and_raises_nothing(text: str) -> None:
    for truth in ("7", "x+1", "1, 2", "red", "7 cm"):
        assert not right(text, truth)
    assert not right(text, "B", COLOURS)


def test_what_is_a_formula() -> None:
    assert all(map(looks_like_formula, ["x-1", "2x+1", r"\pi", "x^2", "sin(x)", "2 pi", "n!", "a/b"]))
    assert not any(map(looks_like_formula, ["x", "red", "a cat", "and/or", "3-4", "2-in-1", "tan", "10:30", "e.g."]))


def test_the_answers_in_a_text() -> None:
    assert answers_in("<think>a</think> b ") == [" b "]
    assert answers_in("<think>a") == [""]
    assert answers_in(r"first \boxed{1}, then \boxed{\frac{1}{2}}") == ["1", r"\frac{1}{2}"]
    assert answers_in("<answer>1</answer> and <answer>2</answer>") == ["1", "2"]


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
