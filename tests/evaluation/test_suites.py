"""All suites of a sweep file at once, on whatever the transformer is."""

import pytest

from posttrain.config import METRICS
from posttrain.evaluation.fixed_noise import validation_loss
from posttrain.evaluation.suites import METRIC_MODES, Evaluator, mode_of
from posttrain.training.video_bench import VideoBench
from tests.tiny_trial import trial_config


def test_every_suite_gets_its_metrics_and_frames(bench: VideoBench) -> None:
    evaluator = Evaluator(trial_config().evaluation, bench.dataset.suites)
    quick = evaluator.evaluate(bench.family, bench.store, sample_clips=False)
    assert list(quick.values) == ["seen/loss", "other/loss"]
    assert quick.frames == {}
    whole = evaluator.evaluate(bench.family, bench.store, sample_clips=True)
    assert set(whole.values) == {"seen/loss", "seen/psnr", "other/loss", "other/psnr"}
    assert {suite: len(pairs) for suite, pairs in whole.frames.items()} == {"seen": 1, "other": 1}
    for suite, samples in bench.dataset.suites.items():
        expected = float(validation_loss(bench.family, bench.store, samples).mean())
        assert quick.values[f"{suite}/loss"] == whole.values[f"{suite}/loss"] == expected


def test_without_psnr_nothing_is_sampled(bench: VideoBench) -> None:
    evaluator = Evaluator(trial_config({"evaluation.psnr": None}).evaluation, bench.dataset.suites)
    assert set(evaluator.evaluate(bench.family, bench.store, sample_clips=True).values) == {"seen/loss", "other/loss"}
    assert evaluator.ceilings(bench.family, bench.store) == {}


def test_ceilings_are_above_what_the_base_reaches(bench: VideoBench) -> None:
    evaluator = Evaluator(trial_config().evaluation, bench.dataset.suites)
    ceilings = evaluator.ceilings(bench.family, bench.store)
    reached = evaluator.evaluate(bench.family, bench.store, sample_clips=True).values
    assert set(ceilings) == {"seen", "other"}
    for suite, ceiling in ceilings.items():
        assert reached[f"{suite}/psnr"] < ceiling


def test_directions_are_those_of_the_sweep_file() -> None:
    assert METRIC_MODES == METRICS
    assert mode_of("held_out/loss") == "min"
    assert mode_of("a/b/psnr") == "max"
    with pytest.raises(KeyError):
        mode_of("held_out/sharpness")
