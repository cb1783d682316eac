"""A whole pipeline from a trained network and the untouched parts of its base."""

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from posttrain.errors import EnvironmentFault
from posttrain.models.components import complete_pipeline


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A checkpoint as the hub's cache keeps it, all links, with more files than the pipeline has parts."""
    base, blobs = tmp_path / "base", tmp_path / "blobs"
    blobs.mkdir()
    for name in (
        *("vae/config.json", "vae/weights.safetensors", "vae/weights.bin", "transformer/config.json"),
        *("tokenizer/merges.txt", "examples/clip.json", "LICENSE.txt", "README.md"),
    ):
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        blob = blobs / name.replace("/", "-")
        blob.write_text(name)
        (base / name).symlink_to(blob)
    parts = {name: ["library", "Class"] for name in ("vae", "transformer", "tokenizer")}
    index = {"_name_or_path": str(base), "_class_name": "P", **parts}
    (base / "model_index.json").write_text(json.dumps(index))
    return base


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out/transformer").mkdir(parents=True)
    (tmp_path / "out/transformer/config.json").write_text("trained")
    return tmp_path / "out"


@pytest.mark.parametrize("link", [False, True])
def test_parts_of_the_index_are_added_and_no_pickle(base: Path, out: Path, link: bool) -> None:
    copied = complete_pipeline(base, out, link=link)
    written = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    added = {"vae/config.json", "vae/weights.safetensors", "tokenizer/merges.txt", "LICENSE.txt"}
    assert written == added | {"model_index.json", "transformer/config.json"}
    assert (out / "transformer/config.json").read_text() == "trained"
    assert "_name_or_path" not in json.loads((out / "model_index.json").read_text())
    weights = out / "vae/weights.safetensors"
    assert not weights.is_symlink()
    assert weights.samefile(base / "vae/weights.safetensors") == link
    assert copied == (0 if link else sum((out / name).stat().st_size for name in added))


def test_a_disk_without_room_is_told_before_anything_is_copied(
    base: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage(NamedTuple):
        free: int

    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(free=3))
    with pytest.raises(EnvironmentFault, match="--link"):
        complete_pipeline(base, out, link=False)
    assert [path.name for path in out.iterdir()] == ["transformer"]
