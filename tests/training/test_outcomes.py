"""How trials end, and what they leave on disk."""

from pathlib import Path
from typing import Any

import pytest
import torch

from posttrain.errors import ModelError
from posttrain.paths import TrialPaths
from posttrain.tracking.metrics import read
from posttrain.training.observer import EvaluationRecord
from posttrain.training.train import best_and_last, train
from posttrain.training.video_bench import VideoBench
from tests.float64 import train_in_float64
from tests.tiny_trial import Listener, trial_config
from tests.training.conftest import Ended
from tests.training.trial_files import (
    assert_close_trials,
    assert_same_trial,
    checkpoint,
    checkpoint_steps,
    curves,
    evaluations,
    finite,
    weights,
)

pytestmark = pytest.mark.slow


def test_a_completed_trial(bench: VideoBench, completed: Ended) -> None:
    paths, listener, found = completed.paths, completed.listener, completed.outcome
    assert (found.status, found.reason, found.steps) == ("completed", "", 12)
    assert [record.step for record in listener.evaluations] == [4, 8, 12]
    assert [record.step for record in listener.steps] == [1, 4, 8, 12]
    written = evaluations(paths)
    for record, told in zip(written, listener.evaluations, strict=True):
        assert record == {"step": told.step, "kind": "eval", **told.values}
    assert set(found.metrics) == {"seen/loss", "other/loss", "seen/psnr", "other/psnr"}
    assert found.metrics["seen/psnr"]["last_step"] == 12
    losses = {record["step"]: record["seen/loss"] for record in written}
    assert found.metrics["seen/loss"]["best"] == min(losses.values())
    assert losses[found.metrics["seen/loss"]["best_step"]] == min(losses.values())
    assert found.metrics["seen/loss"]["last"] == losses[12]
    assert found.mixture == {"all": {"fixed": 24, "tracking": 24}}
    assert set(found.seconds) == {"training", "evaluation"}
    assert all(seconds > 0 for seconds in found.seconds.values())
    assert found.peak_memory_bytes > 1e8
    shown = curves(paths)
    mixture = {f"mixture/{what}/{source}" for what in ("share", "epochs") for source in ("fixed", "tracking")}
    assert set(shown) == {"train/loss", "train/grad_norm", "train/learning_rate", *mixture, *found.metrics}
    assert shown["mixture/share/fixed"] == [(1, 0.5), (4, 0.5), (8, 0.5), (12, 0.5)]
    sizes = {source: len(samples) for source, samples in bench.dataset.train.items()}
    for source, size in sizes.items():
        expected = [(step, pytest.approx(step * 2 / size)) for step in (1, 4, 8, 12)]
        assert shown[f"mixture/epochs/{source}"] == expected
        assert found.exposure["all"][source] == {
            "samples": 24,
            "epochs": 24 / size,
            "frames": 24 * bench.family.clip.frames,
        }


def test_the_first_training_loss_is_the_bases_own(bench: VideoBench, tmp_path: Path) -> None:
    losses = []
    for seed_of_adapter in ({"strategy.rank": 4}, {"strategy.rank": 8}):
        shortest = {"training.steps": 1, "evaluation.every": 1, "evaluation.psnr": None}
        changes = {**seed_of_adapter, **shortest, "strategy.dropout": 0.0}
        paths = train_in_float64(trial_config(changes), bench, tmp_path / str(seed_of_adapter))
        losses.append(next(record["train/loss"] for record in read(paths.metrics_jsonl) if record["kind"] == "train"))
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)  # B of an adapter starts at zero


@pytest.mark.slow
def test_training_learns(bench: VideoBench, tmp_path: Path) -> None:
    changes = {"training.steps": 40, "training.batch_size": 8, "evaluation.every": 10, "evaluation.psnr": None}
    found = train(trial_config(changes), bench, TrialPaths(tmp_path), Listener())
    history = evaluations(TrialPaths(tmp_path))
    assert found.metrics["seen/loss"]["best"] < 0.97 * history[0]["seen/loss"]


def test_the_scheduler_stops_a_trial_after_its_checkpoint(bench: VideoBench, tmp_path: Path) -> None:
    paths, listener = TrialPaths(tmp_path), Listener(stop_at={8: "behind the others at step 8"})
    found = train(trial_config(), bench, paths, listener)
    assert (found.status, found.reason, found.steps) == ("stopped", "behind the others at step 8", 8)
    assert [record.step for record in listener.evaluations] == [4, 8]
    assert 8 in checkpoint_steps(paths)
    assert found.metrics["seen/loss"]["last_step"] == 8
    assert "seen/psnr" not in found.metrics
    assert found.mixture == {"all": {"fixed": 16, "tracking": 16}}


def test_a_stopped_trial_can_go_on_as_if_it_never_stopped(
    bench: VideoBench, straight: TrialPaths, tmp_path: Path
) -> None:
    paths = TrialPaths(tmp_path)
    train(trial_config(), bench, paths, Listener(stop_at={4: "behind"}))
    assert train(trial_config(), bench, paths, Listener()).status == "completed"
    assert_same_trial(paths, straight, 12)


@pytest.mark.parametrize("every", [4, 12])
def test_a_learning_rate_that_blows_up_ends_as_diverged(bench: VideoBench, tmp_path: Path, every: int) -> None:
    paths, listener = TrialPaths(tmp_path), Listener()
    changes = {"training.learning_rate": 1e30, "training.warmup": 0.0, "evaluation.every": every}
    found = train(trial_config(changes), bench, paths, listener)
    assert found.status == "stopped"
    assert found.reason.startswith("diverged: ")
    assert found.reason.endswith(f"at step {found.steps}")
    assert found.steps < 12
    assert checkpoint_steps(paths) == [], "weights that are no numbers are no checkpoint"
    assert listener.evaluations == [], "the search is not told a NaN"
    assert all(finite(entry) for entry in found.metrics.values())
    assert all(finite({"value": value}) for points in curves(paths).values() for _, value in points)


def test_a_diverged_trial_leaves_the_base_and_the_next_trial_alone(
    bench: VideoBench, straight: TrialPaths, tmp_path: Path
) -> None:
    train(trial_config({"training.learning_rate": 1e30}), bench, TrialPaths(tmp_path / "nan"), Listener())
    paths = TrialPaths(tmp_path / "next")
    train(trial_config(), bench, paths, Listener())
    assert_same_trial(paths, straight, 12)


def test_a_strategy_that_does_not_fit_is_an_error_before_anything_is_trained(bench: VideoBench, tmp_path: Path) -> None:
    paths = TrialPaths(tmp_path)
    with pytest.raises(ModelError, match="to_z"):
        train(trial_config({"strategy.target_modules": ["to_z"]}), bench, paths, Listener())
    assert not paths.checkpoints.exists()
    assert not any(parameter.requires_grad for parameter in bench.family.transformer.parameters())


def test_the_last_and_the_best_of_each_metric_are_kept(bench: VideoBench, tmp_path: Path) -> None:
    paths = TrialPaths(tmp_path)
    changes = {"training.steps": 10, "evaluation.every": 1, "training.learning_rate": 3e-2, "evaluation.psnr": None}
    found = train(trial_config(changes), bench, paths, Listener())
    best = {entry["best_step"] for entry in found.metrics.values()}
    assert checkpoint_steps(paths) == sorted(best | {10})
    assert (checkpoint(paths, 10) / "evaluation.json").is_file()


def test_psnr_can_be_measured_on_the_way(bench: VideoBench, tmp_path: Path) -> None:
    paths = TrialPaths(tmp_path)
    changes = {"training.steps": 3, "evaluation.every": 1, "evaluation.psnr.every": 2}
    train(trial_config(changes), bench, paths, Listener())
    assert [record["step"] for record in evaluations(paths) if "seen/psnr" in record] == [2, 3]


def test_gradient_checkpointing_changes_no_number(bench: VideoBench, tmp_path: Path) -> None:
    short: dict[str, Any] = {"training.steps": 6, "evaluation.every": 6}
    kept = train_in_float64(trial_config(short), bench, tmp_path / "kept")
    again = train_in_float64(
        trial_config({**short, "training.gradient_checkpointing": True}), bench, tmp_path / "again"
    )
    assert_close_trials(again, kept, 6)
    assert not any(getattr(module, "gradient_checkpointing", False) for module in bench.family.transformer.modules())


def test_bf16_trains_and_resumes_bit_for_bit(half: VideoBench, straight: TrialPaths, tmp_path: Path) -> None:
    config = trial_config({"training.precision": "bf16"})
    one, other = TrialPaths(tmp_path / "one"), TrialPaths(tmp_path / "other")
    found = train(config, half, one, Listener())
    assert found.status == "completed"
    assert weights(one, 12).keys() == weights(straight, 12).keys()
    exact = {record["step"]: record["seen/loss"] for record in evaluations(straight)}
    for record in evaluations(one):
        assert record["seen/loss"] == pytest.approx(exact[record["step"]], rel=0.05)
    train(config, half, other, Listener(interrupt_at=6))
    train(config, half, other, Listener())
    assert_same_trial(other, one, 12, train_curves=False)
    held_in = {parameter.dtype for parameter in half.family.transformer.parameters()}
    assert held_in == {torch.bfloat16}, "whatever the adapters were"


def test_best_is_the_earlier_of_equals_and_never_a_nan() -> None:
    history = [
        EvaluationRecord(1, {"a/loss": 2.0, "a/psnr": 10.0}),
        EvaluationRecord(2, {"a/loss": 1.0, "a/psnr": 12.0}),
        EvaluationRecord(3, {"a/loss": 1.0, "a/psnr": 11.0}),
        EvaluationRecord(4, {"a/loss": float("nan")}),
    ]
    assert best_and_last(history) == {
        "a/loss": {"mode": "min", "best": 1.0, "best_step": 2, "last": 1.0, "last_step": 3},
        "a/psnr": {"mode": "max", "best": 12.0, "best_step": 2, "last": 11.0, "last_step": 3},
    }
