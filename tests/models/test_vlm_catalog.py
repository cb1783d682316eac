"""Telling a vision-language checkpoint by its own files."""

import json
import shutil
from pathlib import Path

import pytest

from posttrain.config import ModelConfig, TrialConfig
from posttrain.data import ClipSpec, RowSpec
from posttrain.errors import ModelError
from posttrain.models import tiny
from posttrain.models.reading import family_of, reading_of
from posttrain.models.vlm_catalog import HUB, TINY, describe_vlm, rows_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    out = tmp_path / "checkpoint"
    shutil.copytree(tiny.resolve("tiny:qwen3-vl"), out)
    return out


def test_names_and_folders_tell_the_architecture(folder: Path, tmp_path: Path) -> None:
    for name, generation in TINY.items():
        found = describe_vlm(name)
        assert found is not None
        assert found.generation == generation
        assert found.path is None
    found = describe_vlm("checkpoint", tmp_path)
    assert found is not None
    assert (found.generation.name, found.path) == ("qwen3-vl", folder)
    for name in HUB:
        told = describe_vlm(name)
        assert told is not None
        assert told.generation.name == ("qwen2.5-vl" if "2.5" in name or "Reason1" in name else "qwen3-vl")
    # others are not this catalogue's to judge
    assert describe_vlm("tiny:predict2.5") is None
    assert describe_vlm("nvidia/Cosmos-Predict2.5-2B") is None
    (tmp_path / "diffusers").mkdir()
    (tmp_path / "diffusers" / "model_index.json").write_text("{}")
    assert describe_vlm("diffusers", tmp_path) is None
    assert describe_vlm(str(tmp_path / "nothing")) is None


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.json", b"{", "config.json cannot be read"),
        ("config.json", json.dumps({"model_type": "llama"}).encode(), "names the architecture llama"),
        ("model.safetensors", None, "holds no safetensors file"),
        ("model.safetensors", b"cut", "is no whole safetensors file"),
        ("processor_config.json", None, "preprocessor_config.json is missing"),
        ("tokenizer_config.json", None, "tokenizer_config.json is missing"),
    ],
)
def test_a_folder_that_is_not_whole_is_told(folder: Path, file: str, content: bytes | None, message: str) -> None:
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content)
    with pytest.raises(ModelError, match=message):
        describe_vlm(str(folder))


def test_what_the_file_says_of_videos_goes_first() -> None:
    info = describe_vlm("nvidia/Cosmos-Reason2-2B")
    assert info is not None
    config = ModelConfig(checkpoint="nvidia/Cosmos-Reason2-2B")
    assert rows_of(config, info) == RowSpec(max_frames=32, fps=2.0, max_aspect=200.0)
    assert rows_of(config.model_copy(update={"max_frames": 8, "fps": 1.0}), info) == RowSpec(8, 1.0, max_aspect=200.0)
    with pytest.raises(ModelError, match=r"model.family: the file says cosmos-predict, but .* qwen3-vl"):
        rows_of(config.model_copy(update={"family": "cosmos-predict"}), info)


def _trial(strategy: str, **model: str) -> TrialConfig:
    return TrialConfig.model_validate(
        {
            "name": "s",
            "model": {"checkpoint": "nobody/nothing", **model},
            "strategy": {"type": strategy},
            "data": {"sources": {"a": {"path": "a"}}},
            "training": {"steps": 1, "batch_size": 1, "learning_rate": 1e-5},
        }
    )


def test_an_unknown_hub_id_is_what_the_file_says(tmp_path: Path) -> None:
    assert family_of("nobody/nothing", tmp_path) is None
    assert family_of("nvidia/Cosmos-Predict2.5-2B", tmp_path) == "cosmos-predict"
    assert family_of("nvidia/Cosmos-Transfer2.5-2B", tmp_path) == "cosmos-transfer"
    assert family_of("nvidia/Cosmos-Reason1-7B", tmp_path) == "vlm"
    assert isinstance(reading_of(_trial("rl"), tmp_path)[1], RowSpec)
    assert isinstance(reading_of(_trial("full", family="vlm"), tmp_path)[1], RowSpec)
    assert isinstance(reading_of(_trial("lora"), tmp_path)[1], ClipSpec)
    with pytest.raises(ModelError, match=r"model\.family: nobody/nothing .* write `family: vlm`"):
        reading_of(_trial("full"), tmp_path)
