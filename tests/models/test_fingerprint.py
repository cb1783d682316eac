"""Names for content: the same for copies, another for any change."""

import os
from pathlib import Path

import torch

from posttrain.models.fingerprint import fingerprint, fingerprint_module


def write(folder: Path, **files: str) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


def test_copies_agree_and_changes_do_not(tmp_path: Path) -> None:
    a = write(tmp_path / "a", config="1", weights="abc")
    same = write(tmp_path / "b", config="1", weights="abc")
    assert fingerprint(a) == fingerprint(same)
    others = [
        write(tmp_path / "content", config="1", weights="abd"),
        write(tmp_path / "name", config="1", weight="abc"),
        write(tmp_path / "more", config="1", weights="abc", extra=""),
        write(tmp_path / "moved", config="abc", weights="1"),
    ]
    assert len({fingerprint(folder) for folder in [a, *others]}) == 5


def test_a_file_that_is_written_again_is_read_again(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", weights="abc")
    before = fingerprint(folder)
    write(folder, weights="xyz")
    os.utime(folder / "weights", ns=(1, 1))  # a clock too coarse to show the change would prove nothing
    assert fingerprint(folder) != before


def test_modules_are_named_by_their_values() -> None:
    torch.manual_seed(0)
    layer = torch.nn.Linear(3, 2)
    before = fingerprint_module(layer)
    assert fingerprint_module(layer) == before
    assert fingerprint_module(torch.nn.Linear(3, 2)) != before
    assert fingerprint_module(layer.to(torch.bfloat16)) != before
