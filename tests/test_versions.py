"""The ranges of pyproject.toml and the versions of versions.lock agree."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from posttrain.paths import shipped

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ASKED_FOR = [Requirement(line) for line in (*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"])]


def locked() -> dict[str, str]:
    lines = re.findall(r"^([a-z0-9-]+)==(\S+)$", shipped("versions.lock").read_text(encoding="utf-8"), re.MULTILINE)
    return dict(lines)


@pytest.mark.parametrize("requirement", ASKED_FOR, ids=lambda requirement: requirement.name)
def test_the_lock_has_a_version_that_the_range_allows(requirement: Requirement) -> None:
    version = locked()[re.sub(r"[-_.]+", "-", requirement.name).lower()]
    assert version in requirement.specifier
    assert {each.operator for each in requirement.specifier} >= {">="}, "a range says where it begins"


def test_the_lock_holds_for_every_machine() -> None:
    versions = locked()
    assert len(versions) > 100
    assert not [version for version in versions.values() if "+" in version], "+cpu is of one machine"
    assert not [name for name in versions if name.startswith(("nvidia-", "posttrain"))]
