"""What a trial left on disk, in a form that two trials can be compared by."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from posttrain.paths import TrialPaths
from posttrain.tracking.metrics import Record, read
from tests.float64 import VALUES_RTOL, WEIGHTS_ATOL

# Means over micro-batches, which may differ in size and in the length of their answers.
OF_MICRO_BATCHES = {"train/supervised_share", "train/token_accuracy"}


def weights(paths: TrialPaths, step: int) -> dict[str, torch.Tensor]:
    """The trained parameters in a checkpoint: an adapter, or networks, and with an average the raw ones too."""
    folder = checkpoint(paths, step)
    found: dict[str, torch.Tensor] = {}
    for path in sorted(folder.rglob("*.safetensors")):
        place = path.parent.relative_to(folder).parts
        found |= {"/".join([*place, name]): value for name, value in load_file(path).items()}
    return found


def checkpoint(paths: TrialPaths, step: int) -> Path:
    return paths.checkpoints / f"step-{step:06d}"


def checkpoint_steps(paths: TrialPaths) -> list[int]:
    return sorted(int(path.name.removeprefix("step-")) for path in paths.checkpoints.glob("step-*"))


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def optimizer_state(paths: TrialPaths, step: int) -> list[torch.Tensor]:
    """AdamW's moments, in the order of the parameters' names."""
    state = torch.load(checkpoint(paths, step) / "optimizer.pt", weights_only=True)["state"]
    return [value for name in sorted(state) for value in state[name].values()]


def evaluations(paths: TrialPaths) -> list[Record]:
    return [record for record in read(paths.metrics_jsonl) if record["kind"] == "eval"]


def curves(paths: TrialPaths) -> dict[str, list[tuple[int, float]]]:
    """TensorBoard's points by tag, as TensorBoard shows them; the speed of training is left out."""
    accumulator = EventAccumulator(str(paths.root), size_guidance={"scalars": 0})
    accumulator.Reload()
    tags = [tag for tag in accumulator.Tags()["scalars"] if tag != "train/steps_per_second"]
    return {tag: [(event.step, event.value) for event in accumulator.Scalars(tag)] for tag in tags}


def assert_same_trial(one: TrialPaths, other: TrialPaths, step: int, *, train_curves: bool = True) -> None:
    """Bit for bit: parameters, optimizer, evaluations and curves.

    `train_curves=False` leaves out the training records: those of a run that was interrupted between two of them are
    means over fewer steps.
    """
    mine, theirs = weights(one, step), weights(other, step)
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    moments = zip(optimizer_state(one, step), optimizer_state(other, step), strict=True)
    assert all(torch.equal(a, b) for a, b in moments)
    assert evaluations(one) == evaluations(other)
    shown, expected = curves(one), curves(other)
    for tag, points in expected.items():
        if train_curves or not tag.startswith("train/"):
            assert shown[tag] == points
    for points in shown.values():
        steps = [step for step, _ in points]
        assert steps == sorted(set(steps)), "no step is there twice"


def largest_difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """The largest absolute difference of any parameter."""
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def assert_close_trials(found: TrialPaths, expected: TrialPaths, step: int, *, train_curves: bool = True) -> None:
    """Two trials of float64 that differ in the order of their sums alone: parameters, optimizer, evaluations, curves.

    TensorBoard rounds its points to float32. `train_curves`: see `assert_same_trial`.
    """
    mine, theirs = weights(found, step), weights(expected, step)
    assert {value.dtype for value in [*mine.values(), *theirs.values()]} == {torch.float64}
    assert largest_difference(mine, theirs) < WEIGHTS_ATOL
    for one, other in zip(optimizer_state(found, step), optimizer_state(expected, step), strict=True):
        torch.testing.assert_close(one, other, rtol=VALUES_RTOL, atol=WEIGHTS_ATOL)
    assert evaluations(found) == [
        {
            name: pytest.approx(value, rel=VALUES_RTOL) if isinstance(value, float) else value
            for name, value in each.items()
        }
        for each in evaluations(expected)
    ]
    shown = curves(found)
    for tag, points in curves(expected).items():
        if (train_curves or not tag.startswith("train/")) and tag not in OF_MICRO_BATCHES:
            assert shown[tag] == [(step, pytest.approx(value, rel=2**-22)) for step, value in points], tag


def finite(values: dict[str, Any]) -> bool:
    return all(math.isfinite(value) for value in values.values() if isinstance(value, float))
