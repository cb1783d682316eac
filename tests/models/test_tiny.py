"""The built-in checkpoint: exact layout, reload through diffusers, sane codec and tokenizer, safe cache."""

import json
import multiprocessing
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from posttrain.data import ClipSpec, decode, demo
from posttrain.data.captions import read_caption
from posttrain.errors import ModelError
from posttrain.models import tiny
from posttrain.models.catalog import TINY
from posttrain.models.cosmos_predict25 import CosmosPredict25
from posttrain.models.loading import NoGuardrail
from posttrain.models.tiny import predict25
from posttrain.models.tiny.assemble import assemble
from posttrain.models.tiny.pretrain import Recipe
from posttrain.models.tiny.vae import WEIGHTS

GENERATION = TINY["tiny:predict2.5"]
CLIP, MAX_SEQUENCE_LENGTH = GENERATION.clip, GENERATION.max_sequence_length
SHORT = Recipe(steps=3, batch_size=2, max_clips=2)


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of this module's own; a test that looks into it sets another one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POSTTRAIN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "predict2.5"
    folder.mkdir()
    tiny.build("tiny:predict2.5", folder, lambda _: None, SHORT)
    return folder


@pytest.fixture(scope="module")
def family(checkpoint: Path) -> CosmosPredict25:
    return CosmosPredict25.load(
        checkpoint,
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


def test_the_layout_is_the_published_one(checkpoint: Path) -> None:
    index = json.loads((checkpoint / "model_index.json").read_text())
    assert index["_class_name"] == "Cosmos2_5_PredictBasePipeline"
    assert index["text_encoder"] == ["transformers", "Qwen2_5_VLForConditionalGeneration"]
    assert index["tokenizer"] == ["transformers", "Qwen2Tokenizer"]
    assert index["vae"] == ["diffusers", "AutoencoderKLWan"]
    assert index["scheduler"] == ["diffusers", "UniPCMultistepScheduler"]
    transformer = json.loads((checkpoint / "transformer/config.json").read_text())
    assert (transformer["in_channels"], transformer["out_channels"]) == (17, 16)
    assert transformer["use_crossattn_projection"]
    assert transformer["extra_pos_embed_type"] is None
    assert transformer["rope_scale"] == [1.0, 3.0, 3.0]
    weights = {path.name for path in checkpoint.rglob("*") if path.suffix in {".bin", ".pt", ".safetensors"}}
    assert weights == {"model.safetensors", "diffusion_pytorch_model.safetensors"}


# UniPC of diffusers 0.42 hands a torch tensor to np.array
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
def test_plain_diffusers_reloads_it_and_samples_from_a_prompt(checkpoint: Path) -> None:
    from diffusers import DiffusionPipeline

    pipe = DiffusionPipeline.from_pretrained(checkpoint, safety_checker=NoGuardrail(), local_files_only=True)
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


def test_training_moves_the_transformer_and_leaves_its_projection(checkpoint: Path, tmp_path: Path) -> None:
    assemble(predict25.new_pipeline, tmp_path)
    weights = "transformer/diffusion_pytorch_model.safetensors"
    before, after = load_file(tmp_path / weights), load_file(checkpoint / weights)
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert "proj_out.weight" in changed
    assert not any(name.startswith("crossattn_proj") for name in changed)
    assert (tmp_path / "vae/config.json").read_bytes() == (checkpoint / "vae/config.json").read_bytes()


def test_building_twice_gives_the_same_files(checkpoint: Path, tmp_path: Path) -> None:
    tiny.build("tiny:predict2.5", tmp_path, lambda _: None, SHORT)
    for path in checkpoint.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / path.relative_to(checkpoint)).read_bytes(), path.name


def test_building_leaves_threads_gradients_and_random_state_alone(tmp_path: Path) -> None:
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    tiny.build("tiny:predict2.5", tmp_path, lambda _: None, SHORT)
    assert torch.get_num_threads() == threads
    assert torch.is_grad_enabled()
    assert torch.equal(torch.random.get_rng_state(), state)


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


def test_every_demo_caption_fits_into_the_sequence(checkpoint: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(checkpoint / "tokenizer", local_files_only=True)
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
        tiny.resolve("tiny:predict25")


def _stub(folder: Path, note: tiny.Note) -> None:
    note("building")
    (folder / "model_index.json").write_text("{}")


def test_resolve_builds_once_and_sweeps_what_a_kill_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTTRAIN_CACHE", str(tmp_path))
    monkeypatch.setitem(tiny.CHECKPOINTS, "tiny:predict2.5", _stub)
    notes: list[str] = []
    target = tiny.resolve("tiny:predict2.5", notes.append)
    assert [path.name for path in target.iterdir()] == ["model_index.json"]
    target.rename(target.with_name(f".{target.name}.part"))  # as if the build had been killed before its rename
    (target.with_name(f".{target.name}.part") / "half").touch()
    assert tiny.resolve("tiny:predict2.5", notes.append) == tiny.resolve("tiny:predict2.5", notes.append) == target
    assert [path.name for path in target.iterdir()] == ["model_index.json"]
    assert notes == ["building", "building"]


def test_a_failed_build_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(folder: Path, note: tiny.Note) -> None:
        (folder / "half").touch()
        raise RuntimeError("power cut")

    monkeypatch.setenv("POSTTRAIN_CACHE", str(tmp_path))
    monkeypatch.setitem(tiny.CHECKPOINTS, "tiny:predict2.5", fail)
    with pytest.raises(RuntimeError, match="power cut"):
        tiny.resolve("tiny:predict2.5")
    assert [path for path in (tmp_path / "tiny").iterdir() if path.suffix != ".lock"] == []


def _slow_stub(folder: Path, note: tiny.Note) -> None:
    _stub(folder, note)
    with (folder.parent / "builds").open("a") as log:
        log.write("built\n")


def _resolve_in_child() -> None:
    tiny.CHECKPOINTS["tiny:predict2.5"] = _slow_stub
    tiny.resolve("tiny:predict2.5")


def test_processes_that_ask_at_once_share_one_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTTRAIN_CACHE", str(tmp_path))
    demo.resolve("general")
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=_resolve_in_child) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0, 0]
    assert (tmp_path / "tiny" / "builds").read_text() == "built\n"


def test_write_copies_to_an_empty_folder_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTTRAIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(tiny.CHECKPOINTS, "tiny:predict2.5", _stub)
    out = tiny.write("tiny:predict2.5", tmp_path / "mine")
    assert (out / "model_index.json").read_text() == "{}"
    with pytest.raises(ModelError, match="not an empty folder"):
        tiny.write("tiny:predict2.5", out)


def test_the_shipped_weights_are_small_and_readable() -> None:
    assert WEIGHTS.stat().st_size < 3_000_000
    assert WEIGHTS.stat().st_mode & 0o044 == 0o044


def test_one_pass_over_a_clip_equals_the_chunked_codec(family: CosmosPredict25) -> None:
    from posttrain.models.tiny import vae_forward

    vae, pixels = family.pipe.vae, torch.rand(1, 3, 9, 32, 32) * 2 - 1
    with torch.no_grad():
        latents = vae.encode(pixels).latent_dist.mode()
        torch.testing.assert_close(vae_forward.encode(vae, pixels)[:, :16], latents, atol=1e-4, rtol=1e-4)
        whole = vae_forward.decode(vae, latents).clamp(-1, 1)
        torch.testing.assert_close(whole, vae.decode(latents).sample, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["wan", "cosmos"])
def test_the_training_of_the_codec_writes_what_the_checkpoint_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    from posttrain.models.tiny import train_vae, vae_forward

    codec = train_vae.CODECS[name]
    monkeypatch.setattr(vae_forward.WanRMS_norm, "forward", vae_forward.WanRMS_norm.forward)  # put back afterwards
    rng = np.random.default_rng(0)
    clip = train_vae.Clip(*(rng.integers(0, 255, (17, size, size, 3), np.uint8) for size in (32, 64)))
    with torch.random.fork_rng():
        model = train_vae.train(codec, [clip], {"noise": [clip]}, share=0.001)
    out = tmp_path / "vae.safetensors"
    codec.save(model, train_vae.all_latents(codec, model, [clip]), out)
    assert load_file(out).keys() == load_file(codec.weights).keys()


def test_the_training_of_the_codec_is_a_command() -> None:
    command = [sys.executable, "-m", "posttrain.models.tiny.train_vae", "--help"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=100)
    assert "--codec" in done.stdout
