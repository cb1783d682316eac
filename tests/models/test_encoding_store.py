"""The cache of encodings: equal to what is encoded live, never encoded twice, whole or absent."""

import dataclasses
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from posttrain import cache
from posttrain.config import ModelConfig
from posttrain.data import Sample, UnusableClip, decode
from posttrain.data.transform import PLAIN
from posttrain.errors import EnvironmentFault
from posttrain.models import load_family
from posttrain.models.base import VideoFamily
from posttrain.models.encoding import EncodingStore
from posttrain.training.video_bench import VideoBench
from tests.forwards import TEXT_ENCODER, VAE, forwards


@pytest.fixture
def own_cache(bench: VideoBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache; the shared workbench keeps its own."""
    assert bench.store.encoded >= 0
    monkeypatch.setenv("POSTTRAIN_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def samples(bench: VideoBench) -> list[Sample]:
    return bench.samples()[:3]


@pytest.fixture(scope="module")
def encoded(bench: VideoBench, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the encodings of `samples`."""
    folder = tmp_path_factory.mktemp("encoded")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POSTTRAIN_CACHE", str(folder))
        EncodingStore(bench.family).encode(bench.samples()[:3])
    return folder


@pytest.fixture
def filled_cache(own_cache: Path, encoded: Path) -> Path:
    """A copy of that cache, for one test."""
    shutil.copytree(encoded, own_cache, dirs_exist_ok=True)
    return own_cache


def files(cache: Path) -> list[Path]:
    return sorted(path for path in (cache / "encodings").rglob("*") if path.is_file())


@pytest.mark.usefixtures("filled_cache")
def test_cached_equals_live(bench: VideoBench, samples: list[Sample]) -> None:
    store = EncodingStore(bench.family)
    prompts = bench.family.encode_prompts([sample.caption for sample in samples])
    for sample, prompt in zip(samples, prompts, strict=True):
        frames = decode(sample.video, bench.family.clip, sample.start_s)
        assert torch.equal(store.latents(sample), bench.family.encode_frames(frames))
        assert torch.equal(store.prompt(sample.caption), prompt)


def test_a_second_store_encodes_nothing(bench: VideoBench, own_cache: Path, samples: list[Sample]) -> None:
    first = EncodingStore(bench.family)
    seen: list[tuple[int, int]] = []
    first.encode(samples, lambda done, total: seen.append((done, total)))
    captions = {sample.caption for sample in samples}
    assert first.encoded == len(samples) + len(captions)
    assert seen == [(1, 3), (2, 3), (3, 3)]
    written = {path: path.stat().st_ino for path in files(own_cache)}  # a file written again is another file
    assert len(written) == first.encoded
    second = EncodingStore(bench.family)
    second.encode(samples)
    assert second.encoded == 0
    assert {path: path.stat().st_ino for path in files(own_cache)} == written


def test_copies_of_a_clip_share_an_entry_and_anything_else_does_not(
    bench: VideoBench, own_cache: Path, samples: list[Sample]
) -> None:
    store = EncodingStore(bench.family)
    sample = samples[0]
    store.encode([sample])
    store.encode([dataclasses.replace(sample, id="other/name")])
    assert store.encoded == 2
    store.encode_clip(dataclasses.replace(sample, start_s=0.25))
    assert store.encoded == 3
    store.encode_captions([sample.caption + "."])
    assert store.encoded == 4


def test_an_entry_belongs_to_a_clip_size_and_a_caption_length(bench: VideoBench) -> None:
    other_size = ModelConfig(checkpoint="tiny:predict2.5", width=48, max_sequence_length=32)
    other = load_family(other_size, "fp32", Path(), torch.device("cpu"))
    assert other.latents_key != bench.family.latents_key
    assert other.prompts_key != bench.family.prompts_key
    assert other.weights_key == bench.family.weights_key


def _encode(family: VideoFamily, samples: Sequence[Sample]) -> None:
    EncodingStore(family).encode(samples)


def test_two_writers_at_once_leave_whole_files(bench: VideoBench, own_cache: Path, samples: list[Sample]) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_encode, args=(bench.family, samples)) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0]
    store = EncodingStore(bench.family)
    store.encode(samples)
    assert store.encoded == 0
    for sample in samples:
        assert torch.equal(store.latents(sample), bench.store.latents(sample))
    assert {path.suffix for path in files(own_cache)} == {".safetensors"}


def _encode_for_ever(family: VideoFamily, sample: Sample) -> None:
    store = EncodingStore(family)
    for number in range(10**9):
        store.encode_clip(dataclasses.replace(sample, content_hash=str(number)))


def test_a_killed_writer_leaves_no_torn_entry(bench: VideoBench, own_cache: Path, samples: list[Sample]) -> None:
    writer = multiprocessing.get_context("fork").Process(target=_encode_for_ever, args=(bench.family, samples[0]))
    writer.start()
    deadline = time.monotonic() + 30
    while len(list(own_cache.rglob("*.safetensors"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    entries = list(own_cache.rglob("*.safetensors"))
    assert len(entries) >= 5
    for path in entries:
        assert torch.equal(load_file(path)["value"], bench.store.latents(samples[0]))


def test_what_is_counted_is_what_the_networks_do(bench: VideoBench, own_cache: Path, samples: list[Sample]) -> None:
    store = EncodingStore(bench.family)
    with forwards() as counts:
        store.encode(samples)
    assert counts[TEXT_ENCODER] == len({sample.caption for sample in samples})
    assert counts[VAE] >= len(samples)  # it reads a clip in pieces
    with forwards() as counts:
        again = EncodingStore(bench.family)
        again.encode(samples)
        for sample in samples:
            again.latents(sample)
            again.prompt(sample.caption)
    assert (counts[VAE], counts[TEXT_ENCODER], again.encoded) == (0, 0, 0)


@pytest.mark.parametrize("damage", ["missing", "truncated", "another tensor"])
def test_an_entry_that_is_lost_is_encoded_again_and_counted(
    bench: VideoBench, filled_cache: Path, samples: list[Sample], damage: str
) -> None:
    for path in files(filled_cache):
        if damage == "missing":
            path.unlink()
        elif damage == "truncated":
            path.write_bytes(path.read_bytes()[:-100])
        else:
            save_file({"other": torch.zeros(2)}, path)
    samples = samples[:2]
    store = EncodingStore(bench.family)
    store.know(sample.caption for sample in samples)
    state = torch.get_rng_state()
    for sample in samples:
        assert torch.equal(store.latents(sample), bench.store.latents(sample))
    assert (store.encoded, store.encoded_again) == (2, 2)
    # one text after the other would load the text encoder for each: those that are missing are encoded together
    with forwards() as counts:
        store.prompt(samples[0].caption)
        lost = counts[TEXT_ENCODER]
        for sample in samples:
            assert torch.equal(store.prompt(sample.caption), bench.store.prompt(sample.caption))
    captions = len({sample.caption for sample in samples})
    assert lost == (captions if damage == "missing" else 1)
    assert counts[TEXT_ENCODER] == captions
    assert captions == 2
    assert store.encoded_again == store.encoded == 2 + captions
    assert torch.equal(torch.get_rng_state(), state)


def test_a_lost_entry_of_a_lost_clip_says_which_clip(
    bench: VideoBench, own_cache: Path, samples: list[Sample], tmp_path: Path
) -> None:
    gone = dataclasses.replace(samples[0], video=tmp_path / "gone.mp4")
    EncodingStore(bench.family).encode_clip(samples[0])
    assert EncodingStore(bench.family).latents(gone).isfinite().all()
    files(own_cache)[0].unlink()
    with pytest.raises(UnusableClip, match=r"gone\.mp4"):
        EncodingStore(bench.family).latents(gone)


def test_a_sweep_that_needs_more_than_the_limit_is_told_before_anything_is_encoded(
    bench: VideoBench, own_cache: Path, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTTRAIN_CACHE_LIMIT", "1kB")
    fresh = VideoBench(bench.family, EncodingStore(bench.family), bench.dataset)
    with forwards() as counts, pytest.raises(EnvironmentFault, match=r"needs .*kB of encodings .* is 1 kB"):
        fresh.encode(samples, lambda done, total: None, lambda: False)
    assert (counts[VAE], counts[TEXT_ENCODER]) == (0, 0)


def test_the_room_that_is_reserved_is_what_is_written(
    bench: VideoBench, own_cache: Path, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(cache, "make_room", lambda own, new: asked.append((own, new)))
    store = EncodingStore(bench.family)
    store.encode(samples[:1])
    store.reserve([(sample, PLAIN) for sample in samples], [sample.caption for sample in samples])
    store.encode(samples)
    store.reserve([(sample, PLAIN) for sample in samples], [sample.caption for sample in samples])
    sizes = [value.nbytes for path in files(own_cache) for value in store.files.read(path).values()]
    ((own, new),) = asked
    assert own + new == sum(sizes)
    assert 0 < own < new


def test_memory_is_bounded(bench: VideoBench, filled_cache: Path, samples: list[Sample]) -> None:
    roomy, tight = EncodingStore(bench.family), EncodingStore(bench.family, memory_bytes=1)
    for store in (roomy, tight):
        for sample in samples:
            store.latents(sample)
    shutil.rmtree(filled_cache / "encodings")
    assert torch.equal(roomy.latents(samples[0]), bench.store.latents(samples[0]))
    assert torch.equal(tight.latents(samples[-1]), bench.store.latents(samples[-1]))  # the last one always stays
    assert (roomy.encoded, tight.encoded) == (0, 0)
    tight.latents(samples[0])
    assert tight.encoded == 1  # it was no longer in memory
