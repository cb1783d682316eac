"""Which samples are meant: `where: "quality >= 0.8 and camera == 'ego'"`, read by a parser of its own, never run.

    either  = both ("or" both)*
    both    = negated ("and" negated)*
    negated = "not" negated | "(" either ")" | test
    test    = column | value (compare value)+ | value ["not"] "in" list | value "is" ["not"] ("missing" | "null")
    compare = "==" | "!=" | "<" | "<=" | ">" | ">="
    value   = column | number | 'text' | "text" | true | false | null
    list    = "[" literal ("," literal)* "]"

A column is a name, or any text between backquotes. Nothing can be called, indexed or reached into.

What a sample lacks, null and NaN are all *missing*. A comparison with something missing is false, `!=` and `not in`
included; `x == null` and `x is missing` are true of it. Values of different kinds (a number, a text, a truth value)
are never equal, and to ask which of them is larger is an error. A column alone must be true or false.
"""

import functools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from posttrain.config.base import refusal
from posttrain.config.support import nearest_or_all
from posttrain.errors import DataError

MAX_LENGTH = 2000  # characters
MAX_DEPTH = 40  # parentheses and `not`s inside each other
ALLOWED = (
    "allowed are columns, numbers, 'texts', true, false, null, == != < <= > >=, in [..], is missing, and, or, not "
    "and parentheses"
)

_TOKEN = re.compile(
    r"""
    (?P<number>-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?![\w.])
    | (?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    | (?P<quoted>`[^`]+`)
    | (?P<word>[A-Za-z_]\w*)
    | (?P<sign>==|!=|<=|>=|<|>|[()\[\],])
    """,
    re.VERBOSE | re.DOTALL,
)
_SIGNS = ("==", "!=", "<=", ">=", "<", ">")
_LITERALS = {"true": True, "false": False, "null": None}
_RESERVED = (*_LITERALS, "and", "or", "not", "in", "is", "missing")

Metadata = Mapping[str, Any]
Test = Callable[[Metadata], bool]


@dataclass(frozen=True)
class Where:
    """A condition on the metadata of a sample.

    Attributes:
        text: as it was written.
        columns: the names it reads.
        optional: those of them that it asks to be missing, so a data set without them is no mistake.
    """

    text: str
    columns: frozenset[str]
    optional: frozenset[str]
    _test: Test

    def matches(self, metadata: Metadata) -> bool:
        """Whether the condition holds.

        Raises:
            DataError: it asks which of two values of different kinds is larger, or takes one for true or false that
                is neither.
        """
        return self._test(metadata)

    def check_columns(self, known: Iterable[str], at: str) -> None:
        """Refuses a column that no sample has, except where the condition asks for just that.

        Args:
            known: the columns that there are.
            at: the configuration path of the condition, for the message.

        Raises:
            DataError: with the nearest column.
        """
        columns = sorted(set(known))
        for column in sorted(self.columns - self.optional - set(columns)):
            remedy = nearest_or_all(column, columns, "columns")
            raise DataError(f"{at}: no sample has the column {column!r} of {self.text!r}; {remedy}")


@functools.lru_cache(maxsize=256)
def parse(text: str) -> Where:
    """Reads a condition.

    Raises:
        PydanticCustomError: a refusal that tells what was found at which character, and what is allowed.
    """
    if len(text) > MAX_LENGTH:
        raise refusal(f"the condition has {len(text)} characters, expected {MAX_LENGTH} at most", "shorten it")
    return _Parser(text).where()


def _checked(text: str) -> str:
    parse(text)
    return text


# A condition as the sweep file holds it: its text, which reads without a mistake.
WhereText = Annotated[str, AfterValidator(_checked)]


@dataclass(frozen=True)
class _Token:
    kind: str  # number, text, quoted, word, sign, end
    text: str
    place: int  # of its first character, from 1


@dataclass(frozen=True)
class _Operand:
    """One side of a comparison: a column, or a literal."""

    column: str | None
    literal: Any = None

    def value(self, metadata: Metadata) -> Any:
        """What stands there for a sample; None for what is missing."""
        found = self.literal if self.column is None else metadata.get(self.column)
        return None if isinstance(found, float) and math.isnan(found) else found

    @property
    def is_null(self) -> bool:
        return self.column is None and self.literal is None


class _Parser:
    """Recursive descent; each method reads one rule of the grammar from where it stands and returns its test."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_tokens(text))
        self._at = 0
        self._depth = 0
        self._columns: set[str] = set()
        self._optional: set[str] = set()

    def where(self) -> Where:
        test = self._either()
        if self._token.kind != "end":
            self._refuse("expected `and`, `or` or the end")
        return Where(self._text, frozenset(self._columns), frozenset(self._optional), test)

    def _either(self) -> Test:
        tests = [self._both()]
        while self._take("or"):
            tests.append(self._both())
        return tests[0] if len(tests) == 1 else lambda row: any(test(row) for test in tests)

    def _both(self) -> Test:
        tests = [self._negated()]
        while self._take("and"):
            tests.append(self._negated())
        return tests[0] if len(tests) == 1 else lambda row: all(test(row) for test in tests)

    def _negated(self) -> Test:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._refuse(f"more than {MAX_DEPTH} parentheses and `not`s inside each other")
        if self._take("not"):
            negated = self._negated()
            test: Test = lambda row: not negated(row)  # noqa: E731 - a closure like the others
        elif self._take("("):
            test = self._either()
            if not self._take(")"):
                self._refuse("expected `)`")
        else:
            test = self._comparison()
        self._depth -= 1
        return test

    def _comparison(self) -> Test:
        start = self._token
        left = self._operand()
        if self._token.text in _SIGNS and self._token.kind == "sign":
            return self._chain(left, start)
        if self._is("in") or (self._is("not") and self._tokens[self._at + 1].text == "in"):
            return self._membership(left, start)
        if self._take("is"):
            return self._missing(left, start)
        if left.column is None:
            self._refuse("expected a comparison after it", start)
        return _truth(left, self._text)

    def _chain(self, left: _Operand, start: _Token) -> Test:
        tests: list[Test] = []
        while self._token.text in _SIGNS and self._token.kind == "sign":
            sign = self._next().text
            right = self._operand()
            if left.column is None and right.column is None:
                self._refuse("neither side of the comparison is a column", start)
            if left.is_null or right.is_null:
                tests.append(self._null_test(right if left.is_null else left, sign, start))
            else:
                tests.append(_compare(left, sign, right, self._text))
            left = right
        return tests[0] if len(tests) == 1 else lambda row: all(test(row) for test in tests)

    def _null_test(self, operand: _Operand, sign: str, start: _Token) -> Test:
        if sign not in ("==", "!="):
            self._refuse(f"`{sign}` with null, expected == or !=", start)
        return self._is_missing(operand, sign == "==")

    def _missing(self, left: _Operand, start: _Token) -> Test:
        wanted = not self._take("not")
        if not self._take("missing") and not self._take("null"):
            self._refuse("expected `missing` after `is`")
        if left.column is None:
            self._refuse("only a column can be missing", start)
        return self._is_missing(left, wanted)

    def _is_missing(self, operand: _Operand, wanted: bool) -> Test:
        assert operand.column is not None
        self._optional.add(operand.column)
        return lambda row: (operand.value(row) is None) is wanted

    def _membership(self, left: _Operand, start: _Token) -> Test:
        wanted = not self._take("not")
        self._take("in")
        if left.column is None:
            self._refuse("only a column can be `in` a list", start)
        if not self._take("["):
            self._refuse("expected a list after `in`, for example ['ego', 'fixed']")
        listed = [self._literal()]
        while self._take(","):
            listed.append(self._literal())
        if not self._take("]"):
            self._refuse("expected `,` or `]`")
        return _one_of(left, listed, wanted)

    def _literal(self) -> Any:
        token = self._token
        operand = self._operand()
        if operand.column is not None or operand.is_null:
            self._refuse("expected a number, a text, true or false in the list", token)
        return operand.literal

    def _operand(self) -> _Operand:
        token = self._next()
        if token.kind == "number":
            return _Operand(None, self._number(token))
        if token.kind == "text":
            return _Operand(None, re.sub(r"\\(.)", r"\1", token.text[1:-1], flags=re.DOTALL))
        if token.kind == "word" and token.text in _LITERALS:
            return _Operand(None, _LITERALS[token.text])
        if token.kind != "quoted" and (token.kind != "word" or token.text in _RESERVED):
            self._refuse("expected a column or a value", token)
        name = token.text.strip("`")
        self._columns.add(name)
        return _Operand(name)

    def _number(self, token: _Token) -> float:
        number = float(token.text) if re.search(r"[.eE]", token.text) else int(token.text)
        if abs(number) > 1e300:
            self._refuse("the number is too large", token)
        return number

    @property
    def _token(self) -> _Token:
        return self._tokens[self._at]

    def _next(self) -> _Token:
        token = self._token
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    def _is(self, text: str) -> bool:
        return self._token.text == text and self._token.kind in ("word", "sign")

    def _take(self, text: str) -> bool:
        taken = self._is(text)
        if taken:
            self._next()
        return taken

    def _refuse(self, problem: str, token: _Token | None = None) -> NoReturn:
        raise _refusal(self._text, token or self._token, problem)


def _tokens(text: str) -> Iterator[_Token]:
    place = 0
    while place < len(text):
        if text[place].isspace():
            place += 1
            continue
        found = _TOKEN.match(text, place)
        if found is None:
            raise _refusal(text, _Token("end", text[place : place + 12], place + 1), _untold(text[place]))
        assert found.lastgroup is not None
        yield _Token(found.lastgroup, found.group(), place + 1)
        place = found.end()
    yield _Token("end", "", len(text) + 1)


def _untold(letter: str) -> str:
    if letter in "'\"`":
        return "the quote is not closed"
    return "write ==" if letter == "=" else "no condition holds such a sign"


def _refusal(text: str, token: _Token, problem: str) -> PydanticCustomError:
    found = f"{token.text[:40]!r} at character {token.place}" if token.text else f"the end at character {token.place}"
    return refusal(f"found {found} of {text[:80]!r}: {problem}", ALLOWED)


def _truth(operand: _Operand, text: str) -> Test:
    def test(row: Metadata) -> bool:
        value = operand.value(row)
        if value is None or isinstance(value, bool):
            return value is True
        raise DataError(
            f"{text!r}: the column {operand.column!r} is {_shown(value)} in a sample, and stands alone as if it were "
            "true or false; compare it with something"
        )

    return test


def _one_of(operand: _Operand, listed: Sequence[Any], wanted: bool) -> Test:
    def test(row: Metadata) -> bool:
        value = operand.value(row)
        return value is not None and any(_equal(value, each) for each in listed) is wanted

    return test


def _compare(left: _Operand, sign: str, right: _Operand, text: str) -> Test:
    def test(row: Metadata) -> bool:
        one, other = left.value(row), right.value(row)
        if one is None or other is None:
            return False
        if sign in ("==", "!="):
            return _equal(one, other) is (sign == "==")
        if _kind(one) != _kind(other) or _kind(one) not in ("a number", "a text"):
            column = left.column if left.column is not None else right.column
            raise DataError(
                f"{text!r}: a sample has {_shown(one)} on the left and {_shown(other)} on the right of `{sign}`, which "
                f"only numbers, or texts, can be compared by; look at the column {column!r}"
            )
        return bool(_ORDERS[sign](one, other))

    return test


_ORDERS: dict[str, Callable[[Any, Any], Any]] = {
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
}


def _equal(one: Any, other: Any) -> bool:
    return _kind(one) == _kind(other) and bool(one == other)


def _kind(value: Any) -> str:
    """What a value is in the words of messages; Python would take true for 1."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "a number"
    return "a text" if isinstance(value, str) else f"a {type(value).__name__}"


def _shown(value: Any) -> str:
    return f"{_kind(value)}, {str(value)[:40]!r},"
