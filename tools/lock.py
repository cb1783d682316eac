"""Writes versions.lock: the exact version of everything that `pip install ".[dev]"` brought into this environment.

    make lock

To take newer releases: install them into .venv, run the tests, then `make lock`. What else lies in the environment is
left out: the lock follows the requirements from ours to theirs. So are the CUDA packages of a CUDA build of torch, and
local labels such as +cpu, so that one file serves every machine.
"""

import re
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement

LOCK = Path(__file__).resolve().parents[1] / "versions.lock"
HEADER = """\
# The exact versions that the tests run on: `pip install -c versions.lock posttrain` takes them.
# Made by `make lock`; `posttrain doctor` compares what is installed with it.
"""
# pip and setuptools are in the environment before anything is asked for
ALSO = ("pip", "setuptools")
_OF_THE_BUILD = re.compile(r"(nvidia|cuda|triton)\b")


def canonical(name: str) -> str:
    """The name as the package index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def closure(name: str, extras: frozenset[str], found: dict[str, str]) -> None:
    """Adds what a distribution requires, and what that requires, to `found`: name -> version."""
    for line in distribution(name).requires or ():
        requirement = Requirement(line)
        marker, wanted = requirement.marker, canonical(requirement.name)
        if marker and not any(marker.evaluate({"extra": extra}) for extra in extras or {""}):
            continue
        if _OF_THE_BUILD.match(wanted):
            continue
        is_new = wanted not in found
        found[wanted] = distribution(wanted).version.partition("+")[0]
        if is_new or requirement.extras:
            closure(wanted, frozenset(requirement.extras), found)


def main() -> None:
    found = {name: distribution(name).version for name in ALSO}
    closure("posttrain", frozenset({"", "dev"}), found)
    found.pop("posttrain", None)
    LOCK.write_text(HEADER + "".join(f"{name}=={version}\n" for name, version in sorted(found.items())))


if __name__ == "__main__":
    main()
