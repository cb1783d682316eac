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


def assert_close_trials(found: TrialPaths, expected: TrialPaths) -> None:
    """The same up to the order of float32 sums, which twelve steps of Adam enlarge."""
    moved = largest_difference(weights(expected, 12), {k: 0 * v for k, v in weights(expected, 12).items()})
    assert largest_difference(weights(found, 12), weights(expected, 12)) < 1e-3 * moved
    for mine, theirs in zip(evaluations(found), evaluations(expected), strict=True):
        assert (mine.pop("step"), mine.pop("kind")) == (theirs.pop("step"), theirs.pop("kind"))
        assert mine == pytest.approx(theirs, rel=1e-4)
    for tag, points in curves(expected).items():
        assert curves(found)[tag] == [(step, pytest.approx(value, rel=1e-3)) for step, value in points]


def finite(values: dict[str, Any]) -> bool:
    return all(math.isfinite(value) for value in values.values() if isinstance(value, float))
