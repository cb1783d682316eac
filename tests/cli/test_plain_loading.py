"""Whether an export will load here is tried with the plain libraries, as they are installed.

That the answer is a user's own program's is shown with the command, in `test_export.py`.
"""

import os
import sys
from pathlib import Path

import pytest

from posttrain.cli import plain_loading


def fake(folder: Path, name: str, body: str) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text(body)


def test_a_torchvision_of_another_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As plain diffusers tells it: an ImportError whose cause is the missing operator."""
    body = (
        "try:\n    raise RuntimeError('operator torchvision::nms does not exist')\n"
        "except RuntimeError as error:\n    raise ImportError('cannot import the pipeline') from error\n"
    )
    fake(tmp_path, "diffusers", body)
    fake(tmp_path, "transformers", "AutoModelForImageTextToText = AutoProcessor = Qwen2VLVideoProcessor = None\n")
    fake(tmp_path, "peft", body)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    (problem,) = plain_loading.loading_problems()
    assert (problem.code, problem.is_fatal) == ("exports_not_loading", False)
    assert "plain diffusers and peft cannot load" in problem.message
    assert "(RuntimeError: operator torchvision::nms does not exist)" in problem.message
    assert "was built for another torch than" in problem.remedy
    assert list(plain_loading.loading_problems("transformers")) == []


def test_another_cause_has_another_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(tmp_path, "peft", "raise ImportError('no such name')\n")
    fake(tmp_path, "diffusers", "import os\nos._exit(3)\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    (problem,) = plain_loading.loading_problems("peft")
    assert "ImportError: no such name" in problem.message
    assert "--force-reinstall" in problem.remedy
    (problem,) = plain_loading.loading_problems("diffusers")
    assert "the process ended" in problem.message
