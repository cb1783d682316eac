#!/usr/bin/env bash
# math-verify: with its defaults, verify() takes some wrong answers for the true one.
#
# Versions: math-verify 0.9.0, antlr4-python3-runtime 4.13.2, Python 3.11 on Linux.
# Expected: verify(parse("$gold$"), parse("$answer$")) is False for an answer that is another number, another equation
#           or another variable. Reward functions take its result as it is: TRL 1.16.0's accuracy_reward pays 1.0 for
#           each of these answers in a box.
# Seen:     True for each pair below. Some of it is leniency on purpose: the right side of any equation counts (3x = 5
#           for 5), 9% is 9, capital letters are read as small ones (M is m, GM is Gm), and floats are rounded to six
#           decimals, however small they are. Two equations without a real root are equal because solutions are
#           compared, and there are none.
# Output (2026-11-28): True for all six wrong answers, False for 6 where 5 is true
set -euo pipefail

pins=("math-verify[antlr4_13_2]==0.9.0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=${FINDINGS_PYTHON:-} # a Python that has the pinned versions already; else a fresh virtual environment
if [ -z "$python" ]; then
    python3 -m venv "$work/venv"
    python=$work/venv/bin/python
    "$python" -m pip install --quiet "${pins[@]}"
fi
cd "$work"
"$python" - "${pins[@]}" <<'EOF'
import importlib.metadata
import sys

for name, _, wanted in (pin.partition("==") for pin in sys.argv[1:]):
    found = importlib.metadata.version(name.partition("[")[0]).partition("+")[0]
    assert found == wanted, f"{name} {found} is installed, {wanted} was pinned"

from math_verify import parse, verify

WRONG = (
    ("5", "3x=5"),
    ("9", r"9\%"),
    ("x^2+1=0", "x^2+2=0"),
    ("M", "m"),
    (r"\frac{GM}{r^2}", r"\frac{Gm}{r^2}"),
    ("0.0000001", "0.0000002"),
)


def equal(gold, answer):
    return verify(parse(f"${gold}$"), parse(f"${answer}$"))


for gold, answer in WRONG:
    print(f"{gold:16} {answer:16} {equal(gold, answer)}")
print(f"{'5':16} {'6':16} {equal('5', '6')}")
assert all(equal(gold, answer) for gold, answer in WRONG)
assert not equal("5", "6")
assert equal("2x+3", "3+2x")
EOF
