r"""Answers that are numbers, with or without a unit, read as exact values.

    "1,250 cm"  "1.25 \times 10^3\,\text{cm}"  -> (1250, "cm")        "50%" -> (1/2, "")        "-2 1/3" -> (-7/3, "")

A value must have the unit of the true one: 5 m is not 5 cm, and a number without its unit is not the answer.
"""

import re
from dataclasses import dataclass
from fractions import Fraction

from posttrain.data.answer_text import GROUPED, number, plain, unwrap, words

_MAX_EXPONENT = 400  # beyond what floats hold; an exact integer of any size would not fit into memory
_INTEGER = rf"(?:{GROUPED.pattern}|\d+)"
_VALUE = re.compile(
    rf"(?P<sign>[+-]?)\s*(?P<currency>[$€£¥₹])?\s*"
    rf"(?:(?P<whole>{_INTEGER})(?:\s+|(?=\\))(?=\d+/|\\)|)"
    rf"(?:\\[dt]?frac\s*\{{\s*(?P<minus>-?)(?P<top>\d+)\s*\}}\s*\{{\s*(?P<bottom>\d+)\s*\}}"
    rf"|\\[dt]?frac(?P<top1>\d)(?P<bottom1>\d)"
    rf"|(?P<above>{_INTEGER})\s*/\s*(?P<below>{_INTEGER})"
    rf"|(?P<decimal>\d{{1,3}}(?: \d{{3}})+(?:\.\d+)?(?!\d)|(?!{GROUPED.pattern}(?!\d))\d+,\d+(?![\d,])"
    rf"|(?:{_INTEGER}|(?=\.))(?:\.\d+)?))"
    rf"(?:\s*(?:[×x*·]\s*10\s*(?:\^|\*\*)\s*|(?P<e>[eE]))\(?\{{?(?P<exponent>[+-]?\d+)\}}?\)?)?"
)
_UNIT = re.compile(r"\s*(?:[^\W\d]|[%°$€£¥₹Ω])[^=<>!+]*")


@dataclass(frozen=True)
class Quantity:
    """An exact value with the words of its unit; `digits` counts the decimals that were written."""

    value: Fraction
    unit: tuple[str, ...]
    digits: int

    def equals(self, other: "Quantity") -> bool:
        """Whether both are the same; 0.333333 (six decimals and more) is 1/3, 0.33 is not."""
        if self.unit != other.unit:
            return False
        return self.value == other.value or _rounded(self, other) or _rounded(other, self)


def read_quantity(text: str, *, decimal_comma: bool = False) -> Quantity | None:
    """The quantity that a whole text is; None for any other text.

    Args:
        decimal_comma: read 3,5 as 3.5. Without it that is a list of two numbers.
    """
    text = plain(unwrap(text))
    match = _VALUE.match(text)
    if match is None or not _is_unit(match, text):
        return None
    value = _value(match, decimal_comma)
    if value is None:
        return None
    unit = words(f"1 {text[match.end() :]}")[1:]  # after a number: symbols of units keep their case
    if unit in (("%",), ("percent",), ("per", "cent")):
        value, unit = value / 100, ()
    if match["currency"]:
        unit = (match["currency"], *unit)
    return Quantity(value, unit, len((match["decimal"] or "").partition(".")[2]))


def _is_unit(match: re.Match[str], text: str) -> bool:
    rest = text[match.end() :]
    return not rest.strip() or _UNIT.fullmatch(rest) is not None


def _value(match: re.Match[str], decimal_comma: bool) -> Fraction | None:
    if match["decimal"] is not None:
        value = None if match["whole"] else _decimal(match["decimal"], decimal_comma)
    else:
        value = _fraction(match)
    exponent = match["exponent"] or "0"
    if value is None or len(exponent) > 4 or abs(int(exponent)) > _MAX_EXPONENT:
        return None
    value *= Fraction(10) ** int(exponent)
    return -value if match["sign"] == "-" else value


def _fraction(match: re.Match[str]) -> Fraction | None:
    """The value of 1/2, of \\frac{1}{2} and of a mixed number; None where a part has leading zeros or divides by 0."""
    top, bottom = match["top"] or match["top1"] or match["above"], match["bottom"] or match["bottom1"] or match["below"]
    whole, above, below = number(match["whole"] or "0"), number(top), number(bottom)
    if whole is None or above is None or not below:
        return None
    return whole + (-above if match["minus"] else above) / below


def _decimal(text: str, decimal_comma: bool) -> Fraction | None:
    found = number(text.replace(" ", ""))
    if found is None and decimal_comma and re.fullmatch(r"(?:0|[1-9]\d*),\d+", text):
        return number(text.replace(",", "."))
    return found


def _rounded(exact: Quantity, written: Quantity) -> bool:
    """Whether `written` is a value without end, rounded to six decimals or more."""
    if written.digits < 6 or _ends(exact.value):
        return False
    return abs(exact.value - written.value) <= Fraction(1, 2 * 10**written.digits)


def _ends(value: Fraction) -> bool:
    """Whether it can be written with a finite number of decimals."""
    bottom = value.denominator
    for factor in (2, 5):
        while bottom % factor == 0:
            bottom //= factor
    return bottom == 1
