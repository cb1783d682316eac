r"""The text of an answer without its wrapping, and as words that can be compared.

    "The answer is **\boxed{\text{Red}}**." --unwrap--> "Red" --words--> ("red",)

`words` ignores case, articles and punctuation, and reads numbers by their value. Signs and operators stay: `x+1` and
`x-1` must never be equal.
"""

import re
import unicodedata
from collections.abc import Iterator
from fractions import Fraction

_ARTICLES = ("a", "an", "the")
# A comma between groups of three digits; any other comma separates two numbers.
GROUPED = re.compile(r"[1-9]\d{0,2}(?:,\d{3})+")
_INTEGER_OR_DECIMAL = re.compile(rf"-?(?:{GROUPED.pattern}|0|[1-9]\d*|(?=\.))(?:\.\d+)?")
_MAX_DIGITS = 400  # Python refuses to convert thousands of digits, which a model may well write
# Superscripts become ^{...}, since NFKC would turn 10⁸ into 108.
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n")
_SUPERSCRIPT = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+")
_VULGAR = re.compile(r"(\d)([¼½¾⅐-⅞])")  # 1½ is 1 1/2, and NFKC would turn it into 11/2
_CHARACTERS = str.maketrans({**dict.fromkeys("−–‐‑﹣", "-"), "⁄": "/", "’": "'", "\u2009": ",", "\u202f": ","})
_SPACE_BETWEEN_GROUPS = re.compile(r"(?<=\d)[\u2009\u202f](?=\d{3})")

_TAGGED = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_TEXT_COMMAND = r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mbox|operatorname|rm|bf)\s*"
_BRACE = re.compile("[{}]")
_BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{")
_ANSWER_IS = re.compile(
    r"(?:so |thus,? |therefore,? )?(?:the |my )?(?:final |correct )?answer(?:\s+is\b:?|\s*:)\s*", re.I
)
_DELIMITERS = (
    ("$$", "$$"),
    ("$", "$"),
    (r"\(", r"\)"),
    (r"\[", r"\]"),
    ("**", "**"),
    ("__", "__"),
    ("`", "`"),
    ("*", "*"),
)
# LaTeX that plain text has a character for.
_LATEX = (
    (re.compile(r"\\left\b|\\right\b|\\displaystyle\b"), ""),
    (re.compile(r"\\(?=[%$#&_])"), ""),
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"\\[,;:! ]|~"), " "),
    (re.compile(r"\^\{?\\circ\}?|\\degree\b"), "°"),
    (re.compile(r"\\times\b"), "×"),
    (re.compile(r"\\cdot\b"), "·"),
    (re.compile(r"\\pm\b"), "±"),
)  # fmt: skip
# A number with its sign, also 12:30 and 1.2.3; a word; a LaTeX command; or one other character.
_TOKEN = re.compile(r"(?<![\w.)])-?(?:\d+|(?=\.\d))(?:[.,:]\d+)*|\w+|\\[a-z]+|[^\w\s]")
_OPERATORS = frozenset("*/%^°-")  # besides Unicode's own classes of mathematical signs and currencies
_BOLD = re.compile(r"\*\*(.+?)\*\*|(?<![\w)*])\*(?! )([^*]+?)(?<! )\*(?![\w(*])")
# A hyphen inside or between words of two letters and more is punctuation, any other one a minus.
_HYPHEN = re.compile(r"(?<=[^\W\d_]{2})\s*-+\s*(?=[^\W\d_]{2})|(?<=\w)\s+-+\s+(?=[^\W\d_]{2})")
# A unit's symbol after a number keeps its case: 5 mW is not 5 MW.
SI_SYMBOL = re.compile(r"[pnuµmcdhkMGT]?(?:m|g|s|W|Hz|V|A|Pa|F|J|N|b|B|eV|L|l|K|mol|Wh|bar|Ω)")


def answers_in(text: str) -> list[str]:
    r"""The answers that a text gives, of which there should be one: a completion, or the answer of a row.

    What stands inside <answer>...</answer>, once for each pair of tags; without tags all that follows a thought, which
    is nothing as long as the thought is not closed. Of a text with `\boxed{...}` what stands in the boxes.
    """
    tagged = _TAGGED.findall(text)
    if not tagged:
        _, closed, rest = text.rpartition("</think>")
        tagged = [rest] if closed or "<think>" not in text else [""]
    return [answer for part in tagged for answer in boxes(part) or [part]]


def unwrap(text: str) -> str:
    r"""The text without what only marks it: `\boxed{}`, `\text{}`, `$...$`, bold type, "the answer is", a full stop."""
    text = text.strip()
    while (inner := _unwrap_once(text)) != text:
        text = inner
    return text


def boxes(text: str) -> list[str]:
    r"""The content of every `\boxed{...}` in a text."""
    closing = _closing_braces(text)
    begins = [match.end() for match in _BOXED.finditer(text)]
    return [text[begin : closing[begin - 1]] for begin in begins if begin - 1 in closing]


def plain(text: str) -> str:
    """One spelling for characters that look alike, and for LaTeX that has a plain character; case is kept."""
    text = _SPACE_BETWEEN_GROUPS.sub(",", _VULGAR.sub(r"\1 \2", text))
    text = _SUPERSCRIPT.sub(lambda match: f"^{{{match[0].translate(_SUPERSCRIPTS)}}}", text)
    text = unicodedata.normalize("NFKC", text).translate(_CHARACTERS)
    text = re.sub(_TEXT_COMMAND + r"\{([^{}]*)\}", r" \1 ", text)
    for pattern, replacement in _LATEX:
        text = pattern.sub(replacement, text)
    return text.strip()


def words(text: str, *, hyphens: bool = False) -> tuple[str, ...]:
    """The words, numbers and operators of a text, without case, punctuation and articles; numbers by their value.

    Args:
        hyphens: keep the hyphens of compounds, as a token of its own.
    """
    text = _BOLD.sub(lambda match: match[1] or match[2], plain(unwrap(text)))
    return tuple(_tokens(text if hyphens else _HYPHEN.sub(" ", text))) or (text,)


def is_operator(token: str) -> bool:
    """Whether a token of `words` is a sign, an operator, a currency or a LaTeX command."""
    return token[:1] == "\\" or (
        len(token) == 1 and (token in _OPERATORS or unicodedata.category(token) in ("Sm", "Sc"))
    )


def number(token: str) -> Fraction | None:
    """The value of an integer or a decimal; None for anything else, such as 007, 12:30 or 1.2.3."""
    if len(token) > _MAX_DIGITS or not _INTEGER_OR_DECIMAL.fullmatch(token):
        return None
    return Fraction(token.replace(",", ""))


def _tokens(text: str) -> Iterator[str]:
    found = _TOKEN.findall(text)
    for before, token, after in zip(["", *found], found, [*found[1:], ""], strict=False):
        value = number(token)
        if _is_article(before, token, after):
            continue
        if value is not None:
            yield str(value)
        elif token[0].isdigit() and "," in token:
            yield from _listed(token)
        elif before[-1:].isdigit() and SI_SYMBOL.fullmatch(token):
            yield token
        elif token[0].isalnum() or len(token) > 1 or token == "_":
            yield token.casefold()
        elif _tells(before, token, after):
            yield token


def _is_article(before: str, token: str, after: str) -> bool:
    """Whether a word follows; the A of "vitamin A" and of "hepatitis A virus" is a name."""
    return (token if before else token.lower()) in _ARTICLES and after[:1].isalpha()


def _listed(token: str) -> Iterator[str]:
    """The numbers of 1,2,3 one by one, as they come out of "1, 2, 3"."""
    for index, part in enumerate(token.split(",")):
        value = number(part)
        yield from ([","] if index else [])
        yield part if value is None else str(value)


def _tells(before: str, token: str, after: str) -> bool:
    """Whether a single character changes the sense: an operator, a comma between numbers, the sign of a factorial."""
    if token == ",":
        return before[-1:].isdigit() and after.lstrip("-")[:1].isdigit()
    if token == "!":
        return before[-1:].isdigit()
    return is_operator(token) or token in "#&@" or unicodedata.category(token) == "So"


def _unwrap_once(text: str) -> str:
    answer = _ANSWER_IS.match(text)
    if answer and answer.end() < len(text):
        return text[answer.end() :].strip()
    if len(text) > 1 and text[-1] in ".,;" and not text.endswith(("..", r"\,", r"\;")):
        return text[:-1].strip()
    command = re.match(rf"(?:{_TEXT_COMMAND}|\\(?:boxed|fbox)\s*)\{{", text)
    if command and _closing_braces(text).get(command.end() - 1) == len(text) - 1:
        return text[command.end() : -1].strip()
    for opening, closing in _DELIMITERS:
        inner = text[len(opening) : -len(closing)]
        wrapped = text.startswith(opening) and text.endswith(closing) and len(text) > len(opening) + len(closing)
        if wrapped and opening not in inner and closing not in inner:
            return inner.strip()
    return text


def _closing_braces(text: str) -> dict[int, int]:
    """Where each opening brace is closed; one that is not is left out."""
    opened: list[int] = []
    closing = {}
    for brace in _BRACE.finditer(text):
        if brace[0] == "{":
            opened.append(brace.start())
        elif opened:
            closing[opened.pop()] = brace.start()
    return closing
