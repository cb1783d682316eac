"""PSNR in dB, of continuations and of the codec alone."""

import numpy as np
import pytest
import torch

from posttrain.data import decode
from posttrain.evaluation.continuation import codec_psnr, continuations, psnr
from posttrain.training.video_bench import VideoBench


@pytest.mark.parametrize(("difference", "expected"), [(0, 100.0), (1, 48.1308), (16, 24.0484), (255, 0.0)])
def test_psnr_of_known_differences(difference: int, expected: float) -> None:
    black = np.zeros((2, 4, 4, 3), np.uint8)
    assert psnr(black, black + np.uint8(difference)) == pytest.approx(expected, abs=1e-3)
    assert psnr(black + np.uint8(difference), black) == pytest.approx(expected, abs=1e-3)


def test_psnr_of_one_wrong_pixel_among_many() -> None:
    black = np.zeros((1, 10, 10, 3), np.uint8)
    spotted = black.copy()
    spotted[0, 0, 0] = 255
    assert psnr(black, spotted) == pytest.approx(20.0)


def test_continuations_are_scored_against_the_file_without_the_given_frame(bench: VideoBench) -> None:
    samples = bench.samples()[:2]
    found = continuations(bench.family, bench.store, samples, sampler_steps=2)
    assert len(found.frames) == 2
    for value, sample, (true, sampled) in zip(found.psnr_N, samples, found.frames, strict=True):
        assert np.array_equal(true, decode(sample.video, bench.family.clip, sample.start_s))
        assert sampled.shape == true.shape
        assert float(value) == pytest.approx(psnr(sampled[1:], true[1:]))
    again = continuations(bench.family, bench.store, samples, sampler_steps=2)
    assert torch.equal(found.psnr_N, again.psnr_N)


def test_the_codec_alone_is_the_ceiling(bench: VideoBench) -> None:
    samples = bench.samples()[:2]
    ceiling = codec_psnr(bench.family, bench.store, samples)
    assert (ceiling > 20).all()
    reached = continuations(bench.family, bench.store, samples, sampler_steps=2).psnr_N
    assert (reached < ceiling).all()
    for value, sample in zip(ceiling, samples, strict=True):
        true = decode(sample.video, bench.family.clip, sample.start_s)
        decoded = bench.family.decode_latents(bench.store.latents(sample))
        assert float(value) == pytest.approx(psnr(decoded[1:], true[1:]))
