"""Installed versions against the tested set and the supported ranges, with real packages on the path."""

from pathlib import Path

import pytest

from posttrain.cli import versions


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Some libraries in other versions than the tested ones, and a posttrain that asks for them."""
    tested = versions.tested_versions()
    asked = ["numpy>=2.1,<3", "pillow>=11,<14", "rich>=13.9,<16", "torch>=2.11,<3", "ruff>=0.1; extra == 'dev'"]
    for name, version in {
        "numpy": "2.3.9",
        "pillow": "99.0",
        "rich": tested["rich"],
        "torch": f"{tested['torch']}+cu130",
        "ruff": "0.0.1",
        "posttrain": "9",
    }.items():
        folder = tmp_path / f"{name}-{version}.dist-info"
        folder.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        if name == "posttrain":
            lines += ["Requires-Python: >=2.7,<3", *(f"Requires-Dist: {each}" for each in asked)]
        (folder / "METADATA").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_what_was_not_tested_is_listed_and_what_does_not_fit_is_a_problem(installed: Path) -> None:
    others = versions.other_versions()
    assert [(each.name, each.installed, each.is_supported) for each in others] == [
        ("numpy", "2.3.9", True),
        ("pillow", "99.0", False),
    ]
    assert others[0].tested == versions.tested_versions()["numpy"]
    (problem,) = versions.unsupported(others)
    assert problem.code == "versions_unsupported"
    assert "pillow 99.0 (supported <14,>=11)" in problem.message
    assert "Python 3" in problem.message
    assert "numpy" not in problem.message


def test_the_tested_set_is_the_lock_that_ships() -> None:
    assert versions.tested_versions()["torch"].startswith("2.")
