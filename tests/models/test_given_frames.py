"""What the pipeline's own sampler encodes of given frames: the same with and without the cache, and once."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKLCosmos

from posttrain.data import Sample
from posttrain.models.base import Frames
from posttrain.models.encoding_files import EncodingFiles
from posttrain.models.given_frames import known_to
from posttrain.training.video_bench import VideoBench


@pytest.fixture
def files(bench: VideoBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EncodingFiles:
    monkeypatch.setenv("POSTTRAIN_CACHE", str(tmp_path))
    return EncodingFiles(0)


@contextmanager
def encoder_forwards(vae: Any) -> Iterator[Counter[str]]:
    counts: Counter[str] = Counter()
    handle = vae.encoder.register_forward_pre_hook(lambda *_: counts.update(["encoder"]))
    try:
        yield counts
    finally:
        handle.remove()


def test_a_continuation_is_the_same_and_the_second_encodes_nothing(
    bench: VideoBench, files: EncodingFiles, frames: Frames, sample: Sample
) -> None:
    family: Any = bench.family
    prompt = bench.store.prompt(sample.caption)
    with encoder_forwards(family.pipe.vae) as counts:
        first = family.continue_clip(frames, prompt, steps=2, seed=0)
        assert counts["encoder"] > 0
        counts.clear()
        assert torch.equal(family.continue_clip(frames, prompt, steps=2, seed=0), first)
        assert counts["encoder"] == 0
        other = family.continue_clip(255 - frames, prompt, steps=2, seed=0)
        assert counts["encoder"] > 0
    assert not torch.equal(other, first)
    assert "encode" not in vars(family.pipe.vae)
    for path in files.root.rglob("*.safetensors"):
        path.write_bytes(b"damaged")
    assert torch.equal(family.continue_clip(frames, prompt, steps=2, seed=0), first)


@pytest.mark.parametrize("codec", ["wan", "cosmos"])
def test_the_posterior_of_each_codec_comes_back_bit_for_bit(
    bench: VideoBench, files: EncodingFiles, codec: str
) -> None:
    family: Any = bench.family
    vae: Any = family.pipe.vae if codec == "wan" else small_cosmos_codec()
    pixels = torch.rand(1, 3, 9, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        plain = vae.encode(pixels).latent_dist
        with known_to(vae, "key", files):
            made = vae.encode(pixels).latent_dist
        with encoder_forwards(vae) as counts, known_to(vae, "key", files):
            read, (as_tuple,) = vae.encode(pixels).latent_dist, vae.encode(pixels, return_dict=False)
    assert counts["encoder"] == 0
    for posterior in (made, read, as_tuple):
        assert type(posterior) is type(plain)
        assert torch.equal(posterior.mode(), plain.mode())
        drawn, expected = (each.sample(torch.Generator().manual_seed(1)) for each in (posterior, plain))
        assert torch.equal(drawn, expected)


def small_cosmos_codec() -> Any:
    torch.manual_seed(0)
    return AutoencoderKLCosmos(
        latent_channels=4,
        encoder_block_out_channels=(8, 16),
        decode_block_out_channels=(8, 16),
        attention_resolutions=(32,),
        resolution=32,
        num_layers=1,
        patch_size=4,
        spatial_compression_ratio=8,
        temporal_compression_ratio=8,
    ).eval()
