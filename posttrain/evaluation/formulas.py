r"""Answers that are formulas, compared by math-verify, which TRL's own accuracy reward uses as well.

    gold "2x + 3", answer "3 + 2x" --looks_like_formula--> as LaTeX --formula_server, a process of its own--> equal

math-verify is made to find an answer in prose and is lenient on purpose; here it compares whole answers, and what it
would let through is refused first: `3x = 5` is not 5, `9\%` is not 9, and `M` is not `m`.
"""

import atexit
import json
import logging
import re
import subprocess
import sys
import threading
from functools import lru_cache
from pathlib import Path
from select import select
from typing import Any

from posttrain.data.answer_text import plain, unwrap

_MAX_CHARACTERS = 400
# Far above what the server itself allows: for an operation that Python cannot interrupt.
_WAIT_S = 60.0
_FUNCTIONS = (
    "arcsin|arccos|arctan|sinh|cosh|tanh|sin|cos|tan|cot|sec|csc|sqrt|log|ln|exp|"
    "pi|theta|alpha|beta|gamma|lambda|mu|sigma|omega|phi|infty"
)
_NAME = re.compile(rf"(?<![A-Za-z\\])(?:{_FUNCTIONS})(?![A-Za-z])")
_ROOT = re.compile(r"(?:\\?sqrt|√)\s*\(([^()]*)\)")
_COMMAND = re.compile(r"\\[A-Za-z]+|\\[{}]")
_OPERATOR = re.compile(r"[-+*/^=<>≤≥≠√×·÷!|]|\\[A-Za-z]")
# Numbers, single letters (one may follow a number: 2xy), operators and brackets.
_MATH = re.compile(
    r"(?:\d+[A-Za-z]{0,2}(?![A-Za-z])|(?<![A-Za-z])[A-Za-zα-ωΑ-ΩΔπ](?![A-Za-z])|[-+*/^=<>≤≥≠√×·÷!|.,_(){}\[\]\s]|\d)+"
)
_PLAIN_TO_LATEX = (
    ("**", "^"), ("*", r" \cdot "), ("×", r" \times "), ("·", r" \cdot "), ("÷", r" \div "), ("≤", r" \le "),
    ("≥", r" \ge "), ("<=", r" \le "), (">=", r" \ge "), ("≠", r" \ne "), ("∞", r" \infty "), ("π", r" \pi "),
    ("θ", r" \theta "), ("°", r"^\circ "),
)  # fmt: skip
_ASSIGNED = re.compile(r"\s*(?P<name>[A-Za-z]|\\[a-z]+)(?:_\{?\w+\}?|\([A-Za-z]\))?\s*=\s*(?P<value>[^=<>]+)")
# Powers of powers, and what has more digits than anyone wants: sympy computes them exactly.
_HUGE = re.compile(r"\d{40}|\^\s*[{(]*\s*-?\d{5}|(?:\^|\*\*)\s*[{(][^{}()]*(?:\^|\*\*)|\d{4,}\s*!|!\s*!")
_RELATION = re.compile(r"[=<>≤≥≠]|\\(?:le|ge|leq|geq|ne|neq|lt|gt|in)\b")

_log = logging.getLogger(__name__)


def looks_like_formula(text: str) -> bool:
    """Whether a whole answer is written in mathematical signs, with an operator and with letters or LaTeX in it."""
    text = plain(unwrap(text))
    if _COMMAND.search(text):
        return True
    bare = _NAME.sub("x", text)
    if "^" in bare:  # then letters side by side are a product: mc^2
        bare = re.sub(r"[A-Za-z]{2,3}(?![A-Za-z])", "x", bare)
    if not _MATH.fullmatch(bare):
        return False
    has_name = bare not in (text, "x")  # sin(x), 2 pi; the colour tan is a word
    return has_name or bool(_OPERATOR.search(bare) and re.search(r"[^\W\d_]|√|\^|!", bare))


def parses(text: str) -> bool:
    """Whether a formula can be compared at all; what cannot is compared letter by letter."""
    return _askable(text) and _ask("parses", (_latex(text),)) is True


def same_formula(gold: str, answer: str) -> bool:
    """Whether `answer` equals the true answer `gold`, which `parses`."""
    gold, answer = unwrap(gold), unwrap(answer)
    if not _askable(answer):
        return False
    value = _ASSIGNED.fullmatch(plain(answer))
    if value and not _RELATION.search(plain(gold)):  # x = 5 for 5; any other equation is no value
        answer = value["value"]
    elif (own := _ASSIGNED.fullmatch(plain(gold))) and not _RELATION.search(plain(answer)):
        gold = own["value"]
    if bool(_RELATION.search(plain(gold))) != bool(_RELATION.search(plain(answer))):
        return False
    if ("%" in gold) != ("%" in answer) or _mixes_cases(gold, answer):
        return False
    return _ask("equal", (_latex(gold), _latex(answer))) is True


def _askable(text: str) -> bool:
    return bool(text.strip()) and len(text) <= _MAX_CHARACTERS and not _HUGE.search(plain(text))


def _mixes_cases(gold: str, answer: str) -> bool:
    """Whether a variable is written in another case; math-verify reads all letters as small ones."""
    ours, theirs = _letters(gold), _letters(answer)
    return any(letter.swapcase() in ours and letter not in ours for letter in theirs)


def _letters(text: str) -> set[str]:
    bare = _NAME.sub(" ", _COMMAND.sub(" ", plain(text)))
    return {letter for letter in bare if letter.isalpha()}


def _latex(text: str) -> str:
    """A formula as LaTeX: plain signs and names of functions become commands."""
    text = plain(unwrap(text))
    text = _ROOT.sub(r"\\sqrt{\1}", text)
    text = _NAME.sub(lambda match: f"\\{match[0]} ", text)
    text = re.sub(r"√\s*(\w+)", r"\\sqrt{\1}", text)
    for sign, command in _PLAIN_TO_LATEX:
        text = text.replace(sign, command)
    text = re.sub(r"\^\s*\(([^()]*)\)", r"^{\1}", text)
    text = re.sub(r"\^\s*(-?\d{2,}|-\w)", r"^{\1}", text)
    text = re.sub(r"(\\[dt]?frac)\s*(\d)\s*(\d)", r"\1{\2}{\3}", text)
    return re.sub(r"\\[dt]frac", r"\\frac", text)


class _Server:
    """The process that compares; started when the first formula comes, and again after it had to be killed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    def ask(self, question: str, arguments: tuple[str, ...]) -> bool | None:
        """Its answer; None where it gave up."""
        with self._lock:
            process = self._running()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(json.dumps([question, arguments]) + "\n")
                process.stdin.flush()
                ready, _, _ = select([process.stdout], [], [], _WAIT_S)
                line = process.stdout.readline() if ready else ""
            except BrokenPipeError:
                line = ""
            if line:
                answer: Any = json.loads(line)
                return None if answer is None else bool(answer)
            self.stop()
            return None

    def stop(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            # -P: the modules in its folder must not hide those of the libraries
            command = [sys.executable, "-P", str(Path(__file__).with_name("formula_server.py"))]
            pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
            self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=nowhere, text=True)
        return self._process


_SERVER = _Server()
atexit.register(_SERVER.stop)


@lru_cache(maxsize=4096)
def _ask(question: str, arguments: tuple[str, ...]) -> bool | None:
    answer = _SERVER.ask(question, arguments)
    if answer is None:
        _log.warning("not compared, sympy did not finish: %s", " and ".join(arguments))
    return answer
