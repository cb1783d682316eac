"""A process of its own that compares formulas with math-verify; run as a file by `formulas`, never imported.

It reads a JSON list [question, arguments] a line and answers each with one JSON value. Formulas come from a model that
is being trained, so anything may be in them: what sympy does not finish in `_CPU_S` seconds of processor time is given
up. (math-verify's own limit works in a main thread only, and a worker of Ray Train computes in another one.)
"""

import json
import logging
import resource
import signal
import sys
from typing import Any

from latex2sympy2_extended import NormalizationConfig
from math_verify import LatexExtractionConfig, parse, verify
from sympy import Expr, nsimplify, simplify
from sympy.core.relational import Relational

_CPU_S = 5.0
_MEMORY_BYTES = 4 << 30
_RELATIVE = 1e-6  # of numbers that are rounded: math-verify compares to six decimals, whatever their size
_TURNED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "==": "==", "!=": "!="}
# The text is a formula as a whole: nothing is looked for in it, taken away or guessed.
_EXTRACTION = [
    LatexExtractionConfig(
        boxed_match_priority=-1,
        normalization_config=NormalizationConfig(
            basic_latex=True, units=False, malformed_operators=False, nits=False, boxed="none", equations=False
        ),
    )
]


class _GivenUpError(BaseException):
    """The time is up; no handler of sympy's for any Exception holds it."""


def read(latex: str) -> Any:
    """The formula as sympy holds it; None where it cannot be parsed."""
    found = parse(f"${latex}$", _EXTRACTION, fallback_mode="no_fallback", parsing_timeout=None)
    return found[0] if len(found) == 1 else None


def parses(latex: str) -> bool:
    """Whether it is a formula that can be compared."""
    return read(latex) is not None


def equal(gold: str, answer: str) -> bool:
    """Whether two formulas are equal in value, or as equations, inequalities, sets, intervals or matrices."""
    left, right = read(gold), read(answer)
    if left is None or right is None:
        return False
    if isinstance(left, Relational) and isinstance(right, Relational):
        return _same_relation(left, right)
    return bool(verify(left, right, timeout_seconds=None)) and _exactly(left, right)


def _same_relation(left: Any, right: Any) -> bool:
    """Whether one is the other times a number. math-verify compares solutions, and finds any two without one equal."""
    ratio = simplify((left.lhs - left.rhs) / (right.lhs - right.rhs))
    if not ratio.is_number or not ratio.is_finite or ratio.is_zero:
        return False
    operator = right.rel_op if ratio.is_positive else _TURNED[right.rel_op]
    return bool(left.rel_op == operator)


def _exactly(left: Any, right: Any) -> bool:
    """Whether what math-verify finds equal to some decimals is so whatever its size; what is no expression passes."""
    if not (isinstance(left, Expr) and isinstance(right, Expr)):
        return True
    if left.is_number and right.is_number:
        a, b = complex(left.evalf()), complex(right.evalf())
        return abs(a - b) <= _RELATIVE * abs(a)
    return bool(simplify(nsimplify(left - right, rational=True)) == 0)


def _answer(question: str, arguments: list[str]) -> bool | None:
    """None where it was given up, or sympy failed: nothing is known then."""
    signal.setitimer(signal.ITIMER_VIRTUAL, _CPU_S, 1.0)
    try:
        return parses(*arguments) if question == "parses" else equal(*arguments)
    except _GivenUpError:
        return None
    except Exception:  # noqa: BLE001 - sympy raises whatever its algorithms meet
        return None
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _give_up(_signal: int, _frame: Any) -> None:
    raise _GivenUpError


def main() -> None:
    """Answers until the standard input is closed, which the end of the other process does."""
    logging.disable(logging.CRITICAL)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, resource.RLIM_INFINITY))
    signal.signal(signal.SIGVTALRM, _give_up)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the other process
    for line in sys.stdin:
        question, arguments = json.loads(line)
        print(json.dumps(_answer(question, arguments)), flush=True)


if __name__ == "__main__":
    main()
