"""The licence that a base model's own card states."""

from pathlib import Path

import pytest

from posttrain.models.model_card import license_of

CARD = """---
license: other
license_name: nvidia-open-model-license
license_link: https://example.org
tags: [x]
---
# Base
"""


def test_the_licence_with_its_name_and_link(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(CARD)
    assert license_of(tmp_path) == {
        "license": "other",
        "license_name": "nvidia-open-model-license",
        "license_link": "https://example.org",
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# Base\n",
        "---\nlicense: [a, b]\n---\n",
        "---\nlicense_name: x\n---\n",
        "---\n: : {\n---\n",
        "---\n- a\n---\n",
        "text\n---\nlicense: mit\n---\n",
    ],
)
def test_a_card_that_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "README.md").write_text(text)
    assert license_of(tmp_path) == {}


def test_no_card(tmp_path: Path) -> None:
    assert license_of(tmp_path) == {}
