#!/usr/bin/env bash
# datasets: interleave_datasets with all_exhausted_without_replacement keeps the probabilities only at the start.
#
# Versions: datasets 5.2.0, Python 3.11 on Linux.
# Expected: with probabilities 0.2 and 0.8, about a fifth of the rows of the mixture comes from the first source.
# Seen:     every row of every source appears exactly once, so the shares of the whole are those of the sizes: 90 % from
#           the first, larger source here. The probabilities decide the order alone; once the small source is
#           exhausted, the rest of the epoch is the large one and nothing else. No warning.
# Output (2026-11-28): 1000 rows; from the large source: 0.19 of the first 100, 0.90 of all, 1.00 after the first 200
set -euo pipefail

pins=(datasets==5.2.0)
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

from datasets import Dataset, interleave_datasets

large = Dataset.from_dict({"source": ["large"] * 900})
small = Dataset.from_dict({"source": ["small"] * 100})
mixed = interleave_datasets(
    [large, small],
    probabilities=[0.2, 0.8],
    seed=0,
    stopping_strategy="all_exhausted_without_replacement",
)["source"]
mixed = list(mixed)


def share(part):
    return part.count("large") / len(part)


print(f"{len(mixed)} rows; from the large source: {share(mixed[:100]):.2f} of the first 100,")
print(f"{share(mixed):.2f} of all, {share(mixed[200:]):.2f} of those after the first 200; asked for 0.20")
assert len(mixed) == 1000
assert share(mixed[:100]) < 0.35
assert share(mixed) == 0.9
assert share(mixed[200:]) == 1.0
EOF
