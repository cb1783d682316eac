"""The second trial of a sweep, and the second sweep: nothing is encoded, and a loss of the cache is made good."""

import dataclasses
from pathlib import Path

import pytest

from posttrain.config import TrialConfig
from posttrain.data import Splits
from posttrain.models.encoding import EncodingStore
from posttrain.paths import TrialPaths
from posttrain.tracking.metrics import read, series
from posttrain.training.train import train
from posttrain.training.video_bench import VideoBench
from tests.forwards import TEXT_ENCODER, VAE, forwards
from tests.tiny_trial import Listener, trial_config

pytestmark = pytest.mark.slow


@pytest.fixture
def config() -> TrialConfig:
    """With PSNR, for which the pipeline's own sampler encodes frames; measured on the base before the first trial."""
    config = trial_config({"training.steps": 4, "evaluation.every": 2})
    assert config.evaluation.psnr is not None
    return config


@pytest.fixture
def own(bench: VideoBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> VideoBench:
    """A workbench of the same base with a few of its samples, on an empty cache."""
    assert bench.samples()
    monkeypatch.setenv("POSTTRAIN_CACHE", str(tmp_path / "cache"))
    few = Splits({name: samples[:4] for name, samples in bench.dataset.train.items()}, bench.dataset.suites)
    return VideoBench(bench.family, EncodingStore(bench.family, memory_bytes=0), few)


def encode(bench: VideoBench) -> None:
    bench.encode(bench.samples(), lambda done, total: None, lambda: False)


def test_trials_and_later_sweeps_encode_nothing(own: VideoBench, config: TrialConfig, tmp_path: Path) -> None:
    with forwards() as counts:
        encode(own)
        own.evaluate(config, None)
    assert counts[TEXT_ENCODER] == len({sample.caption for sample in own.samples()})
    assert counts[VAE] >= len(own.samples())
    for name, bench in {
        "first": own,
        "second": own,
        "another sweep": dataclasses.replace(own, store=EncodingStore(own.family)),
    }.items():
        with forwards() as counts:
            encode(bench)
            outcome = train(config, bench, TrialPaths(tmp_path / name), Listener())
        assert (counts[VAE], counts[TEXT_ENCODER]) == (0, 0), name
        assert counts["CosmosTransformer3DModel"] > config.training.steps
        assert outcome.encodings == {"encoded": 0, "encoded_again": 0}


def test_a_trial_goes_on_when_the_cache_loses_everything_under_it(
    own: VideoBench, config: TrialConfig, tmp_path: Path
) -> None:
    encode(own)
    whole = train(config, own, TrialPaths(tmp_path / "whole"), Listener())

    def lose(_: object) -> None:
        for path in (tmp_path / "cache").rglob("*.safetensors"):
            path.unlink()

    shaken = train(config, own, TrialPaths(tmp_path / "shaken"), Listener(on_step_do=lose))
    assert shaken.status == "completed"
    assert shaken.encodings["encoded_again"] == shaken.encodings["encoded"] > 5
    assert shaken.metrics == whole.metrics
    losses = [
        [point.value for point in series(read(tmp_path / name / "metrics.jsonl"), "train/loss")]
        for name in ("whole", "shaken")
    ]
    assert losses[0] == losses[1] != []
