"""Installed versions against those that posttrain is tested with and those that it supports.

Tested is the one set of versions.lock, which ships with the program; supported are the ranges of its own requirements.
"""

import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata, requires, version

from posttrain.cli.problem import Problem
from posttrain.paths import shipped

_LOCKED = re.compile(r"^([a-z0-9-]+)==(\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class OtherVersion:
    """An installed library that is not the tested one; `supported` is the range, `is_supported` whether it fits."""

    name: str
    installed: str
    tested: str
    supported: str
    is_supported: bool


def tested_versions() -> dict[str, str]:
    """Name -> version of everything in the lock."""
    return dict(_LOCKED.findall(shipped("versions.lock").read_text(encoding="utf-8")))


def other_versions() -> list[OtherVersion]:
    """Libraries that posttrain asks for and that are installed in another version than the tested one."""
    from packaging.requirements import Requirement

    tested = tested_versions()
    found = []
    for line in requires("posttrain") or ():
        requirement = Requirement(line)
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        installed = _version(name)
        of_development = requirement.marker is not None and "extra" in str(requirement.marker)
        if of_development or name not in tested or installed is None or _public(installed) == tested[name]:
            continue
        fits = requirement.specifier.contains(_public(installed), prereleases=True)
        found.append(OtherVersion(name, installed, tested[name], str(requirement.specifier), fits))
    return found


def unsupported(others: list[OtherVersion]) -> Iterator[Problem]:
    """What lies outside of the ranges, and a Python that does."""
    from packaging.specifiers import SpecifierSet

    outside = [f"{each.name} {each.installed} (supported {each.supported})" for each in others if not each.is_supported]
    pythons = str(metadata("posttrain")["Requires-Python"] or "")
    if not SpecifierSet(pythons).contains(platform.python_version(), prereleases=True):
        outside.append(f"Python {platform.python_version()} (supported {pythons})")
    if outside:
        message = f"outside of what posttrain supports: {', '.join(outside)}"
        yield Problem("versions_unsupported", message, "install posttrain again, which brings versions that fit")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _public(text: str) -> str:
    """A version without its local label: 2.13.0+cu130 is a build of 2.13.0."""
    return text.partition("+")[0]
