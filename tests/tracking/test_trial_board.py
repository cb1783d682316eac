"""Curves and pictures, read back by TensorBoard's own reader."""

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_accumulator import (
    EventAccumulator as PluginAccumulator,
)

from posttrain.tracking import events
from posttrain.tracking.columns import Objective
from posttrain.tracking.hparams import Session, write_session
from posttrain.tracking.metrics import Measured
from posttrain.tracking.tensorboard import TrialBoard, tensorboard_command

OBJECTIVE = Objective("held_out/loss", "min")


def _curves(trial: Path) -> dict[str, list[tuple[int, float]]]:
    reader = EventAccumulator(str(trial), size_guidance={"scalars": 0}).Reload()
    return {tag: [(e.step, e.value) for e in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}


def _pictures(trial: Path) -> list[tuple[int, bytes]]:
    reader = EventAccumulator(str(trial), size_guidance={"images": 0}).Reload()
    return [(e.step, e.encoded_image_string) for tag in reader.Tags()["images"] for e in reader.Images(tag)]


def _train(board: TrialBoard, steps: range, sign: float = 1.0) -> None:
    for step in steps:
        board.scalars({"train/loss": sign / step, "train/learning_rate": 1e-4}, step)
        if step % 10 == 0:
            board.scalars({"held_out/loss": 2.0 * sign / step}, step)
            board.image("held_out/clips", np.full((4, 8, 3), step, np.uint8), step)


def test_a_resumed_trial_reads_like_a_straight_one(tmp_path: Path) -> None:
    straight, resumed = tmp_path / "straight", tmp_path / "resumed"
    for trial in (straight, resumed):
        write_session(trial, Session("s/t0001"), OBJECTIVE)
    with TrialBoard(straight) as board:
        _train(board, range(1, 51))
    with TrialBoard(resumed) as board:
        _train(board, range(1, 11))
        _train(board, range(11, 38), sign=-1.0)  # what is done again after the checkpoint of step 10
    write_session(resumed, Session("s/t0001"), OBJECTIVE)  # the driver starts it again
    with TrialBoard(resumed, first_step=11) as board:
        _train(board, range(11, 21))
        _train(board, range(21, 27), sign=-1.0)
    with TrialBoard(resumed, first_step=21) as board:  # and a third time, from the checkpoint of step 20
        _train(board, range(21, 51))
    for trial in (straight, resumed):
        ended = Session("s/t0001", ended=True, status="completed", objective=Measured(0.04, 50), delta=-0.1)
        write_session(trial, ended, OBJECTIVE)
        write_session(trial, ended, OBJECTIVE)
    assert _curves(resumed) == _curves(straight)
    assert len(_curves(straight)["train/loss"]) == 50
    assert _curves(straight)["best/held_out/loss"] == [(50, pytest.approx(0.04))]
    assert _pictures(resumed) == _pictures(straight)
    assert [step for step, _ in _pictures(straight)] == [10, 20, 30, 40, 50]


def test_a_trial_without_a_checkpoint_begins_anew(tmp_path: Path) -> None:
    write_session(tmp_path, Session("s/t0001"), OBJECTIVE)
    for _ in range(2):
        with TrialBoard(tmp_path) as board:
            board.scalars({"held_out/loss": 1.0}, 0)
            _train(board, range(1, 6))
    assert [step for step, _ in _curves(tmp_path)["train/loss"]] == [1, 2, 3, 4, 5]
    assert [step for step, _ in _curves(tmp_path)["held_out/loss"]] == [0]
    reader = PluginAccumulator(str(tmp_path)).Reload()
    assert "_hparams_/session_start_info" in reader.PluginTagToContent("hparams"), "the row of the table stays"


def test_what_was_written_survives_a_kill(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from posttrain.tracking.tensorboard import TrialBoard\n"
        f"board = TrialBoard(Path({str(tmp_path)!r}))\n"
        "for step in range(1, 41): board.scalars({'loss': 1.0 / step}, step)\n"
        "print('written', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
    (path,) = events.event_files(tmp_path)
    path.write_bytes(path.read_bytes()[:-3])  # and the last record is torn
    with TrialBoard(tmp_path, first_step=31) as board:
        for step in range(31, 36):
            board.scalars({"loss": 1.0 / step}, step)
    assert _curves(tmp_path)["loss"] == [(step, pytest.approx(1.0 / step)) for step in range(1, 36)]


def test_not_finite_values_and_pictures_arrive_as_they_are(tmp_path: Path) -> None:
    picture = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    with TrialBoard(tmp_path) as board:
        board.scalars({"loss": float("nan")}, 1)
        board.image("clips", picture, 1)
    ((_, value),) = _curves(tmp_path)["loss"]
    assert np.isnan(value)
    ((_, png),) = _pictures(tmp_path)
    assert (np.asarray(Image.open(io.BytesIO(png))) == picture).all()


def test_a_new_file_is_read_after_those_of_a_machine_whose_clock_is_ahead(tmp_path: Path) -> None:
    ahead = int(time.time()) + 5000
    (tmp_path / f"events.out.tfevents.{ahead:010d}.node7.1.metrics").write_bytes(b"")
    (tmp_path / "events.out.tfevents.notes.txt").write_text("not ours")
    assert events.stamp(events.new_path(tmp_path, "session")) == ahead + 1


def test_the_command_is_quoted_where_it_must_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tensorboard").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert tensorboard_command(Path("runs/warehouse-lora")) == "tensorboard --logdir runs/warehouse-lora"
    assert tensorboard_command(Path("my runs/a")) == "tensorboard --logdir 'my runs/a'"


def test_the_command_names_a_program_that_the_shell_would_not_find(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    program = tensorboard_command(Path("runs/a")).split(" --logdir ")[0]
    assert (Path.cwd() / program).name == "tensorboard"
    assert (Path.cwd() / program).exists()


def test_texts_are_read_back(tmp_path: Path) -> None:
    with TrialBoard(tmp_path) as board:
        board.text("held_out/answers", "| a | b |", 3)
    reader = PluginAccumulator(str(tmp_path)).Reload()
    assert reader.PluginTagToContent("text").keys() == {"held_out/answers"}
    (event,) = reader.Tensors("held_out/answers")
    assert event.step == 3
    assert list(event.tensor_proto.string_val) == [b"| a | b |"]
