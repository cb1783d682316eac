"""One sweep through SIGTERM, kill -9 and its end: nothing lost, nothing doubled, nothing left behind."""

import json

import optuna
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.main_job.conftest import Finished

pytestmark = pytest.mark.ray
IDS = [f"t{number:04d}" for number in range(1, 5)]


def test_exit_codes_tell_how_a_start_ended(finished: Finished) -> None:
    interrupted, killed, ended = finished.starts
    assert interrupted.exit_code == 3, interrupted.output
    assert killed.exit_code == -9, "it trained on although its output had no reader"
    assert ended.exit_code == 0, ended.output


def test_each_activity_is_told_as_it_begins(finished: Finished) -> None:
    interrupted, _, ended = (start.output.splitlines() for start in finished.starts)
    starting = ["starting Ray", "starting the first worker", "importing the training libraries"]
    activities = [*starting, "loading the model (tiny:predict2.5)", "encoding clips", "measuring the base model"]
    assert [line for line in interrupted if line in activities] == activities
    # what takes no time, as what is in the cache already, may end before its note comes
    assert [line for line in ended if line in activities[:4]] == activities[:4]
    assert interrupted[-1] == "stopped; run the same command again to go on where it was"
    assert not any(line.startswith("error") for line in interrupted)


def test_a_reason_is_printed_once(finished: Finished) -> None:
    output = finished.starts[2].output
    gated = [trial for trial in finished.program.json("runs/small/summary.json")["trials"] if trial["reason"]]
    assert gated
    for reason in {trial["reason"] for trial in gated}:
        assert output.count(reason) == 1


def test_no_ray_process_is_left_behind(finished: Finished) -> None:
    assert finished.ray_left == [[], [], []]
    assert finished.ray_left_at_last() == []


def test_each_trial_is_there_once(finished: Finished) -> None:
    summary = finished.program.json("runs/small/summary.json")
    assert [trial["id"] for trial in summary["trials"]] == IDS
    assert summary["status"] == "completed"
    assert sum(summary["counts"].values()) == len(IDS)
    study = optuna.load_study(
        study_name="small",
        storage=optuna.storages.JournalStorage(
            optuna.storages.journal.JournalFileBackend(str(finished.program.folder / "runs/small/study.journal"))
        ),
    )
    assert len(study.trials) == len(IDS)
    assert all(trial.state.is_finished() for trial in study.trials)


def test_interrupted_trials_went_on_from_their_checkpoints(finished: Finished) -> None:
    trials = finished.program.folder / "runs/small/trials"
    completed = [path.parent for path in trials.glob("t000[1-4]/metrics.jsonl")]
    assert len(completed) >= 2, "one was stopped by SIGTERM, one was killed"
    for trial in completed:
        lines = [json.loads(line) for line in (trial / "metrics.jsonl").read_text().splitlines()]
        steps = [line["step"] for line in lines if line["kind"] == "eval"]
        assert steps == [10, 20, 30, 40, 50, 60]
        accumulator = EventAccumulator(str(trial))
        accumulator.Reload()
        assert [event.step for event in accumulator.Scalars("held_out/loss")] == steps


def test_broken_configurations_are_gated_with_their_cause(finished: Finished) -> None:
    summary = finished.program.json("runs/small/summary.json")
    gated = [trial for trial in summary["trials"] if trial["status"] == "gated"]
    assert gated, "the space holds a learning rate that teaches nothing"
    for trial in gated:
        assert "learning rate 1e-06 is too low" in trial["reason"]
        verdict = finished.program.json(f"runs/small/trials/{trial['id']}/overfit.json")
        assert not verdict["passed"]
        assert not (finished.program.folder / f"runs/small/trials/{trial['id']}/checkpoints").exists()


def test_the_winner_beats_the_base(finished: Finished) -> None:
    summary = finished.program.json("runs/small/summary.json")
    assert summary["best"]["value"] < 0.9 * summary["baseline"]["held_out/loss"]
    assert summary["best"]["value"] == min(trial["value"] for trial in summary["trials"] if trial["value"])


def test_pictures_show_true_frames_above_sampled_ones(finished: Finished) -> None:
    best = finished.program.json("runs/small/summary.json")["best"]["trial"]
    for trial in ("t0000", best):
        accumulator = EventAccumulator(str(finished.program.folder / f"runs/small/trials/{trial}"))
        accumulator.Reload()
        assert accumulator.Images("held_out/true_above_sampled")
