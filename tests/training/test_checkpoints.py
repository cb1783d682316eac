"""Checkpoints: whole or absent, the last and the best kept, and a full disk harms none that is there."""

import contextlib
import errno
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from posttrain.errors import EnvironmentFault
from posttrain.paths import TrialPaths
from posttrain.training.checkpoints import Checkpoints
from posttrain.training.observer import StepRecord
from posttrain.training.train import train
from posttrain.training.video_bench import VideoBench
from tests.tiny_trial import Listener, trial_config
from tests.training.trial_files import assert_same_trial, checkpoint, checkpoint_steps, content

pytestmark = pytest.mark.slow


def write(checkpoints: Checkpoints, step: int, **values: float) -> None:
    checkpoints.values = {name.replace("__", "/"): value for name, value in values.items()}
    with checkpoints.writing(step) as staging:
        (staging / f"checkpoint-{step}").mkdir()
        (staging / f"checkpoint-{step}" / "weights").write_text(str(step))


def test_last_and_best_of_each_metric_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.last() is None
    assert checkpoints.best() == {}
    write(checkpoints, 1, a__loss=3.0, a__psnr=20.0)
    write(checkpoints, 2, a__loss=1.0, a__psnr=10.0)
    write(checkpoints, 3, a__loss=2.0, a__psnr=15.0)
    assert checkpoints.best() == {"a/loss": 2, "a/psnr": 1}
    write(checkpoints, 4, a__loss=1.0, a__psnr=5.0)
    assert checkpoints.steps() == [1, 2, 4]
    assert checkpoints.last() == 4
    assert checkpoints.best()["a/loss"] == 2, "the earlier of equals"
    write(checkpoints, 5, a__loss=0.5, a__psnr=25.0)
    assert checkpoints.steps() == [5]


def test_a_checkpoint_between_evaluations_carries_no_measurement(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    write(checkpoints, 4, a__loss=1.0)
    with checkpoints.writing(6) as staging:
        (staging / "checkpoint-6").mkdir()
    assert json.loads((checkpoints.folder(6) / "evaluation.json").read_text()) == {}
    assert checkpoints.best() == {"a/loss": 4}
    assert Checkpoints(tmp_path).last() == 6


def test_a_torn_staging_folder_is_no_checkpoint_and_goes_away(
    bench: VideoBench, straight: TrialPaths, tmp_path: Path
) -> None:
    paths = TrialPaths(tmp_path)
    train(trial_config(), bench, paths, Listener(interrupt_at=6))
    torn = paths.checkpoints / ".staging" / "checkpoint-8"
    torn.mkdir(parents=True)
    (torn / "pytorch_lora_weights.safetensors").write_bytes(b"torn")
    assert Checkpoints(paths.checkpoints).last() == 6
    train(trial_config(), bench, paths, Listener())
    assert_same_trial(paths, straight, 12, train_curves=False)
    assert sorted(path.name for path in paths.checkpoints.iterdir()) == [
        f"step-{step:06d}" for step in checkpoint_steps(straight)
    ]


def test_a_failure_while_writing_leaves_the_earlier_ones(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    write(checkpoints, 1, a__loss=1.0)
    before = content(checkpoints.folder(1))
    with pytest.raises(EnvironmentFault, match="the disk is full"):
        write_on_a_full_disk(checkpoints)
    assert checkpoints.steps() == [1]
    assert content(checkpoints.folder(1)) == before
    write(checkpoints, 2, a__loss=0.5)
    assert checkpoints.steps() == [2]


def write_on_a_full_disk(checkpoints: Checkpoints) -> None:
    with checkpoints.writing(2) as staging:
        (staging / "checkpoint-2").mkdir()
        raise OSError(errno.ENOSPC, "No space left on device", str(staging / "weights"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MB where a trial's checkpoints go."""
    folder = tmp_path / "trial/checkpoints"
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("this user may not mount a small file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)  # torch leaves its broken file open


# no room for the adapter; room for it and not for the optimizer's state
@pytest.mark.parametrize("room", [0, 1.2])
def test_a_full_disk_ends_the_trial_and_spares_the_checkpoint(
    bench: VideoBench, straight: TrialPaths, small_disk: Path, room: float
) -> None:
    paths = TrialPaths(small_disk.parent)
    filler = small_disk / "filler"
    adapter_bytes = (checkpoint(straight, 12) / "pytorch_lora_weights.safetensors").stat().st_size

    def fill(record: StepRecord) -> None:
        if record.step == 8 and not filler.exists():
            write_until_full(filler, leave=int(room * adapter_bytes))

    with pytest.raises(EnvironmentFault, match="the disk is full") as raised:
        train(trial_config(), bench, paths, Listener(on_step_do=fill))
    assert str(small_disk) in raised.value.message
    assert "resumes" in raised.value.message
    assert checkpoint_steps(paths) == [4]
    assert not any(parameter.requires_grad for parameter in bench.family.transformer.parameters())
    filler.unlink()
    train(trial_config(), bench, paths, Listener())
    assert_same_trial(paths, straight, 12)


def write_until_full(path: Path, leave: int) -> None:
    """Fills the disk under `path` up to `leave` bytes, rounded up to what file systems count in."""
    block = 4096
    with path.open("wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while file.write(bytes(block)) == block:
                pass
        size = file.tell()
        file.truncate(size - size % block - -(-leave // block) * block)
