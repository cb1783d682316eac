"""What a checkpoint is, told without weights; and what is said about one that is none."""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from posttrain.config import ModelConfig, TrialConfig
from posttrain.data import ClipSpec
from posttrain.errors import ModelError
from posttrain.models import CheckpointInfo, clip_of, conditioning_of, describe, load_family
from posttrain.models.catalog import PIPELINES, TINY
from posttrain.models.reading import reading_of
from tests.tiny_trial import trial_config

PUBLISHED = PIPELINES["Cosmos2_5_PredictBasePipeline"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_index(tmp_path / "model", "Cosmos2_5_PredictBasePipeline")


def write_index(folder: Path, class_name: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "model_index.json").write_text(json.dumps({"_class_name": class_name}))
    for part in ("transformer", "vae", "text_encoder"):
        (folder / part).mkdir()
        (folder / part / "config.json").write_text("{}")
        save_file({"w": np.zeros(3)}, folder / part / "model.safetensors")
    for file in ("tokenizer/tokenizer_config.json", "scheduler/scheduler_config.json"):
        (folder / file).parent.mkdir()
        (folder / file).write_text("{}")
    return folder


def _delete(file: Path) -> None:
    file.unlink()


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def _no_header(file: Path) -> None:
    file.write_bytes(b"version https://git-lfs.github.com/spec/v1")


def _name_another(file: Path) -> None:
    index = file.with_name("model.safetensors.index.json")
    index.write_text(json.dumps({"weight_map": {"w": file.name, "v": "model-2.safetensors"}}))


@pytest.mark.parametrize(
    ("file", "damage", "expected"),
    [
        ("tokenizer/tokenizer_config.json", _delete, r"tokenizer/tokenizer_config\.json is missing; fetch"),
        ("scheduler/scheduler_config.json", _delete, r"scheduler/scheduler_config\.json is missing; fetch"),
        ("vae/config.json", _delete, r"vae/config\.json is missing; fetch"),
        ("text_encoder/model.safetensors", _delete, r"text_encoder holds no safetensors file"),
        ("transformer/model.safetensors", _cut, r"transformer/model\.safetensors is cut short: \d+ of \d+ bytes"),
        ("transformer/model.safetensors", _no_header, r"is no whole safetensors file"),
        ("transformer/model.safetensors", _name_another, r"model-2\.safetensors is missing"),
    ],
)
def test_a_checkpoint_that_is_not_whole_is_told_before_it_is_loaded(
    folder: Path, file: str, damage: Callable[[Path], None], expected: str
) -> None:
    damage(folder / file)
    with pytest.raises(ModelError, match=expected):
        describe(str(folder))


def test_a_folder_is_told_by_its_own_files(folder: Path, tmp_path: Path) -> None:
    assert describe(str(folder)) == CheckpointInfo(PUBLISHED, folder)
    assert describe("model", tmp_path) == CheckpointInfo(PUBLISHED, folder)


def test_built_in_names_and_hub_ids_need_no_files() -> None:
    assert describe("tiny:predict2.5") == CheckpointInfo(TINY["tiny:predict2.5"], None)
    assert describe("some-owner/never_downloaded-2B") == CheckpointInfo(PUBLISHED, None)


def test_a_published_id_is_one_beside_a_folder_of_its_owners_name(tmp_path: Path) -> None:
    (tmp_path / "nvidia").mkdir()
    assert describe("nvidia/Cosmos-Predict2.5-2B", tmp_path).path is None
    with pytest.raises(ModelError, match="nvidia/own is not there"):
        describe("nvidia/own", tmp_path)


@pytest.mark.parametrize(
    ("checkpoint", "expected"),
    [
        ("./missing", r"missing is not there; give a folder .*a hub id owner/name.*tiny:predict2\.5"),
        ("/a/b/c", r"/a/b/c is not there"),
        ("empty/missing", r"empty/missing is not there"),  # begins with a folder, so it is no hub id
        ("nowhere/model.safetensors", r"model.safetensors is not there"),
        ("emty", r"emty is not there \(did you mean .*empty\?\)"),
        ("tiny:predict3", r"no built-in checkpoint 'tiny:predict3'; there is tiny:predict2\.5"),
        ("empty", r"holds no model_index\.json.*convert_cosmos_to_diffusers"),
        ("foreign", r"names the pipeline StableDiffusionPipeline, .*cannot train; it can train Cosmos2_5"),
        ("garbled", r"model_index\.json cannot be read.*fetch the checkpoint again"),
        ("listed", r"model_index\.json cannot be read"),
        ("a_file", r"a_file is a file; give a folder"),
    ],
)
def test_what_is_no_checkpoint_is_said_to_be_none(tmp_path: Path, checkpoint: str, expected: str) -> None:
    (tmp_path / "empty").mkdir()
    write_index(tmp_path / "foreign", "StableDiffusionPipeline")
    (write_index(tmp_path / "garbled", "") / "model_index.json").write_text("{")
    (write_index(tmp_path / "listed", "") / "model_index.json").write_text("[]")
    (tmp_path / "a_file").touch()
    with pytest.raises(ModelError, match=expected) as raised:
        describe(checkpoint, tmp_path)
    assert raised.value.message.startswith("model.checkpoint: ")


def test_the_clip_is_the_files_and_where_it_is_silent_the_checkpoints() -> None:
    info = describe("tiny:predict2.5")
    assert clip_of(ModelConfig(checkpoint="tiny:predict2.5"), info) == ClipSpec(9, 32, 32, 8.0)
    config = ModelConfig(checkpoint="tiny:predict2.5", frames=17, width=48)
    assert clip_of(config, info) == ClipSpec(17, 32, 48, 8.0)


@pytest.mark.parametrize(
    ("class_name", "family", "name", "frames", "num_given"),
    [
        ("Cosmos2_5_PredictBasePipeline", "cosmos-predict", "predict2.5", 93, 1),
        ("Cosmos2VideoToWorldPipeline", "cosmos-predict", "predict2", 93, 1),
        ("Cosmos2TextToImagePipeline", "cosmos-predict", "predict2-t2i", 1, 0),
        ("CosmosVideoToWorldPipeline", "cosmos-predict", "predict1", 121, 1),
        ("CosmosTextToWorldPipeline", "cosmos-predict", "predict1-t2w", 121, 0),
    ],
)
def test_the_pipeline_names_the_generation(
    tmp_path: Path, class_name: str, family: str, name: str, frames: int, num_given: int
) -> None:
    generation = describe(str(write_index(tmp_path / "model", class_name))).generation
    assert (generation.family, generation.name, generation.clip.frames) == (family, name, frames)
    assert generation.num_given == num_given
    assert generation.text_only == (num_given == 0)
    assert generation.makes_images == (frames == 1)
    assert sum(generation.conditioning.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("repo_id", "name"),
    [
        ("nvidia/Cosmos-Predict2.5-2B", "predict2.5"),
        ("nvidia/Cosmos-Predict2-2B-Video2World", "predict2"),
        ("nvidia/Cosmos-Predict2-14B-Text2Image", "predict2-t2i"),
        ("nvidia/Cosmos-1.0-Diffusion-7B-Text2World", "predict1-t2w"),
        ("nvidia/Cosmos-1.0-Diffusion-14B-Video2World", "predict1"),
        ("nvidia/Cosmos-Predict1-7B-Video2World", "predict1"),
        ("nvidia/Cosmos-Predict2-2B-Video2World@refs/pr/1", "predict2"),
        ("some-owner/finetuned", "predict2.5"),
    ],
)
def test_a_published_id_tells_its_generation_before_it_is_here(repo_id: str, name: str) -> None:
    assert describe(repo_id).generation.name == name


def test_a_download_that_contradicts_its_id_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_index(tmp_path / "snapshot", "Cosmos2TextToImagePipeline")
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(folder))  # the network's part
    config = ModelConfig(checkpoint="nvidia/Cosmos-Predict2-2B-Video2World")
    with pytest.raises(
        ModelError, match=r"was taken for predict2 by its name, but its model_index\.json says predict2-t2i"
    ):
        load_family(config, "fp32", Path(), torch.device("cpu"))


@pytest.mark.parametrize(
    ("checkpoint", "frames", "expected"),
    [
        (
            "tiny:predict1",
            13,
            r"model\.frames: found 13, expected 8k \+ 1 frames for the codec of predict1; take 9 or 17",
        ),
        ("tiny:predict2-t2i", 5, r"model\.frames: found 5, but predict2-t2i makes images; leave it out, or take 1"),
    ],
)
def test_frames_that_the_codec_cannot_make_are_refused(checkpoint: str, frames: int, expected: str) -> None:
    with pytest.raises(ModelError, match=expected):
        clip_of(ModelConfig(checkpoint=checkpoint, frames=frames), describe(checkpoint))


@pytest.mark.parametrize(
    ("checkpoint", "asked", "expected"),
    [
        ("tiny:predict1-t2w", {1: 1.0}, r"found 1 given latent frames, but predict1-t2w is given none; leave it out"),
        ("tiny:predict1", {1: 0.5, 3: 0.5}, r"3 given latent frames leave none of the 3 \(of 17 frames\) .* at most 2"),
    ],
)
def test_given_frames_that_do_not_fit_are_refused(checkpoint: str, asked: dict[int, float], expected: str) -> None:
    generation = TINY[checkpoint]
    assert conditioning_of(None, generation, generation.clip) == generation.conditioning
    with pytest.raises(ModelError, match=rf"training\.conditioning_frames: {expected}"):
        conditioning_of(asked, generation, generation.clip)


def test_a_family_that_contradicts_the_checkpoint_is_an_error() -> None:
    config = ModelConfig(checkpoint="tiny:predict2.5", family="cosmos-predict")
    info = describe("tiny:predict2.5")
    clip_of(config, info)
    other = dataclasses.replace(info, generation=dataclasses.replace(info.generation, family="cosmos-transfer"))
    with pytest.raises(ModelError, match=r"model\.family: the file says cosmos-predict, .* of cosmos-transfer"):
        clip_of(config, other)
    clip_of(ModelConfig(checkpoint="tiny:predict2.5"), other)


HUB = """
from pathlib import Path
import torch
from posttrain.config import ModelConfig, TrialConfig
from posttrain.errors import EnvironmentFault, ModelError
from posttrain.models import describe, load_family
from posttrain.models.hub import download

print(describe("owner/good").generation.name)
print(Path(download("owner/good")).name)
for what in (
    lambda: describe("owner/foreign"),
    lambda: download("owner/absent"),
    lambda: load_family(ModelConfig(checkpoint="owner/absent"), "fp32", Path(), torch.device("cpu")),
):
    try:
        what()
    except (ModelError, EnvironmentFault) as error:
        print(type(error).__name__, str(error).splitlines()[0])
"""


def test_the_local_hub_cache_is_read_and_its_absence_explained(tmp_path: Path) -> None:
    """In a process of its own: the hub's library reads its settings when it is imported."""
    for name, class_name in (("good", "Cosmos2_5_PredictBasePipeline"), ("foreign", "StableDiffusionPipeline")):
        repository = tmp_path / f"hub/models--owner--{name}"
        write_index(repository / "snapshots/abc", class_name)
        (repository / "refs").mkdir()
        (repository / "refs/main").write_text("abc")
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", HUB], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == ["predict2.5", "abc"]
    assert lines[2].startswith("ModelError model.checkpoint: ")
    assert "StableDiffusionPipeline" in lines[2]
    for line in lines[3:]:
        assert line.startswith("EnvironmentFault model.checkpoint: owner/absent is not in the local hub cache")
    assert len(lines) == 5


@pytest.mark.parametrize(
    ("checkpoint", "step", "message"),
    [
        ("tiny:predict2-t2i", "stride", r"^data\.augmentations\.stride: .*reads single ones; delete it"),
        ("tiny:predict2-t2i", "reverse", r"^data\.augmentations\.reverse: "),
        ("tiny:predict1-t2w", "conditioning_noise", r"^data\.augmentations\.conditioning_noise: .*gives none"),
    ],
)
def test_an_augmentation_that_the_checkpoint_gives_nothing_to_act_on_is_refused(
    checkpoint: str, step: str, message: str
) -> None:
    def config(checkpoint: str) -> TrialConfig:
        changes = {"model.checkpoint": checkpoint, "data.augmentations": [{"type": step, "probability": 0.5}]}
        return trial_config(changes)

    with pytest.raises(ModelError, match=message):
        reading_of(config(checkpoint), Path())
    assert reading_of(config("tiny:predict2.5"), Path())
