"""The built-in checkpoint: exact layout, reload through diffusers, sane codec and tokenizer, safe cache."""

import json
import lzma
import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch

from posttrain.data import ClipSpec, decode, demo
from posttrain.data.captions import read_caption
from posttrain.errors import EnvironmentFault, ModelError
from posttrain.models import tiny as checkpoints
from posttrain.models.catalog import TINY
from posttrain.models.cosmos_predict25 import CosmosPredict25
from posttrain.models.loading import NoGuardrail

NAME = "tiny:predict2.5"
GENERATION = TINY[NAME]
CLIP, MAX_SEQUENCE_LENGTH = GENERATION.clip, GENERATION.max_sequence_length


@pytest.fixture(scope="module")
def family(tiny: Path) -> CosmosPredict25:
    return CosmosPredict25.load(
        tiny,
        GENERATION,
        CLIP,
        max_sequence_length=MAX_SEQUENCE_LENGTH,
        dtype=torch.float32,
        device=torch.device("cpu"),
    )


def shapes_clips(folder: str) -> list[tuple[Path, str]]:
    root = demo.resolve(f"shapes/{folder}")
    return [
        (video, read_caption(root / "captions" / f"{video.stem}.json")[0])
        for video in sorted((root / "videos").iterdir())
    ]


def test_the_layout_is_the_published_one(tiny: Path) -> None:
    index = json.loads((tiny / "model_index.json").read_text())
    assert index["_class_name"] == "Cosmos2_5_PredictBasePipeline"
    assert index["text_encoder"] == ["transformers", "Qwen2_5_VLForConditionalGeneration"]
    assert index["tokenizer"] == ["transformers", "Qwen2Tokenizer"]
    assert index["vae"] == ["diffusers", "AutoencoderKLWan"]
    assert index["scheduler"] == ["diffusers", "UniPCMultistepScheduler"]
    transformer = json.loads((tiny / "transformer/config.json").read_text())
    assert (transformer["in_channels"], transformer["out_channels"]) == (17, 16)
    assert transformer["use_crossattn_projection"]
    assert transformer["extra_pos_embed_type"] is None
    assert transformer["rope_scale"] == [1.0, 3.0, 3.0]
    weights = {path.name for path in tiny.rglob("*") if path.suffix in {".bin", ".pt", ".safetensors"}}
    assert weights == {"model.safetensors", "diffusion_pytorch_model.safetensors"}


# UniPC of diffusers 0.42 hands a torch tensor to np.array
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
def test_plain_diffusers_reloads_it_and_samples_from_a_prompt(tiny: Path) -> None:
    from diffusers import DiffusionPipeline

    pipe = DiffusionPipeline.from_pretrained(tiny, safety_checker=NoGuardrail(), local_files_only=True)
    torch.set_grad_enabled(True)
    pipe.set_progress_bar_config(disable=True)
    frames = pipe(
        prompt="A red disc moves left on navy.",
        num_frames=5,
        height=32,
        width=32,
        num_inference_steps=2,
        guidance_scale=2.0,
        negative_prompt="grey",
        max_sequence_length=MAX_SEQUENCE_LENGTH,
        output_type="np",
    ).frames
    assert np.shape(frames) == (1, 5, 32, 32, 3)
    assert np.isfinite(frames).all()


@pytest.mark.parametrize(("folder", "least_db"), [("fixed-high", 23.0), ("tracking-high", 23.0), ("zooming-low", 25.0)])
def test_the_codec_reconstructs_the_demo(family: CosmosPredict25, folder: str, least_db: float) -> None:
    values = []
    for video, _ in shapes_clips(folder)[:4]:
        frames = decode(video, CLIP)
        error = np.mean((family.decode_latents(family.encode_frames(frames)) - frames.astype(float)) ** 2)
        values.append(10 * np.log10(255**2 / error))
    assert np.mean(values) >= least_db


def test_the_codec_works_at_other_sizes_and_lengths(family: CosmosPredict25) -> None:
    video = shapes_clips("fixed-high")[0][0]
    frames = decode(video, ClipSpec(17, 64, 64, 8.0))
    error = np.mean((family.decode_latents(family.encode_frames(frames)) - frames.astype(float)) ** 2)
    assert 10 * np.log10(255**2 / error) >= 23.0


def test_latents_are_normalised_and_the_posterior_is_sharp(family: CosmosPredict25) -> None:
    latents = torch.stack([family.encode_frames(decode(video, CLIP)) for video, _ in shapes_clips("zooming-high")[:8]])
    assert 0.7 < float(latents.std()) < 1.3
    assert abs(float(latents.mean())) < 0.2
    pixels = torch.zeros(1, 3, 1, 32, 32)
    assert float(family.pipe.vae.encode(pixels).latent_dist.std.max()) < 1e-3


def test_every_demo_caption_fits_into_the_sequence(tiny: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny / "tokenizer", local_files_only=True)
    template = tokenizer.apply_chat_template(
        [{"role": "system", "content": "You are a helpful assistant who will provide prompts to an image generator."}],
        tokenize=False,
    )
    overhead = len(tokenizer(template + "<|im_start|>user\n<|im_end|>\n")["input_ids"])
    for root in (demo.resolve("general"), *(demo.resolve(f"shapes/{name}") for name in demo.shapes.folders())):
        for path in sorted((root / "captions").iterdir()):
            caption = read_caption(path)[0]
            assert overhead + len(tokenizer(caption)["input_ids"]) <= MAX_SEQUENCE_LENGTH, caption
            assert tokenizer.decode(tokenizer(caption)["input_ids"]) == caption


def test_different_captions_read_differently(family: CosmosPredict25) -> None:
    left, right = family.encode_prompts(["A red disc moves left on navy.", "A red disc moves right on navy."])
    assert left.shape == (MAX_SEQUENCE_LENGTH, 64)
    assert float((left - right).abs().max()) > 0.1


def test_an_unknown_name_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(ModelError, match=r"did you mean tiny:predict2\.5"):
        checkpoints.resolve("tiny:predict25")


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_resolve_writes_once_and_sweeps_what_a_kill_left(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTTRAIN_CACHE", str(tmp_path))
    notes: list[str] = []
    target = checkpoints.resolve(NAME, notes.append)
    assert _files(target) == _files(tiny)
    target.rename(target.with_name(f".{target.name}.part"))  # as if killed before the rename
    (target.with_name(f".{target.name}.part") / "half").touch()
    assert checkpoints.resolve(NAME, notes.append) == checkpoints.resolve(NAME, notes.append) == target
    assert _files(target) == _files(tiny)
    assert notes == [f"{NAME}: writing the checkpoint"] * 2


def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTTRAIN_CACHE", str(tmp_path))
    shipped = tmp_path / "shipped" / "broken"
    (shipped / "vae").mkdir(parents=True)
    (shipped / "model_index.json").write_text("{}")
    (shipped / "vae" / "weights.safetensors.xz").write_bytes(b"")
    monkeypatch.setattr(checkpoints.layers, "LAYERS", shipped.parent)
    monkeypatch.setitem(checkpoints.CHECKPOINTS, NAME, ("broken",))
    with pytest.raises(lzma.LZMAError):
        checkpoints.resolve(NAME)
    assert [path for path in (tmp_path / "tiny").iterdir() if path.suffix != ".lock"] == []


def _resolve_in_child(log: Path) -> None:
    def note(text: str) -> None:
        with log.open("a") as file:
            file.write(f"{text}\n")

    checkpoints.resolve("tiny:qwen3-vl", note)


def test_processes_that_ask_at_once_share_one_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTTRAIN_CACHE", str(tmp_path))
    context, log = multiprocessing.get_context("fork"), tmp_path / "log"
    children = [context.Process(target=_resolve_in_child, args=(log,)) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0, 0]
    assert log.read_text() == "tiny:qwen3-vl: writing the checkpoint\n"


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("POSTTRAIN_CACHE", str(tmp_path / "file"))
    with pytest.raises(EnvironmentFault, match="file"):
        checkpoints.resolve(NAME)


def test_write_copies_to_an_empty_folder_only(tiny: Path, tmp_path: Path) -> None:
    out = checkpoints.write(NAME, tmp_path / "mine")
    assert _files(out) == _files(tiny)
    with pytest.raises(ModelError, match="not an empty folder"):
        checkpoints.write(NAME, out)
