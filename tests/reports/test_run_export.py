"""`posttrain export` before the sweep has ended, and what it says of trials that cannot be exported."""

from pathlib import Path

import pytest

from posttrain.errors import ConfigError, NoAnswer
from posttrain.paths import RunPaths
from posttrain.reports.export import WEIGHT_NAME, export_lora
from tests.reports.conftest import RunBuilder


def test_the_best_so_far_is_exported_without_a_summary(run: RunPaths, tmp_path: Path) -> None:
    source = run.trial("t0001").checkpoints / "step-000056" / WEIGHT_NAME
    source.parent.mkdir(parents=True)
    source.write_bytes(b"weights")
    run.sweep_yaml.write_text(run.sweep_yaml.read_text() + "model: {checkpoint: tiny}\n")
    exported = export_lora(run, tmp_path / "out")
    assert (exported["trial"], exported["step"], exported["baseline"]) == ("t0001", 56, 0.4121)
    assert (tmp_path / "out" / WEIGHT_NAME).read_bytes() == b"weights"


@pytest.mark.parametrize(
    ("trial", "expected"),
    [
        ("t0099", "no trial 't0099'. It has t0001, t0002, t0005"),
        ("t0006", "no finished trial 't0006'. It has"),
        ("../../x", "no trial '../../x'"),
        ("t0007", "result.json"),
        ("t0000", "t0000 is the base model itself"),
        ("t0003", "t0003 gated (overfit test"),
    ],
)
def test_a_trial_that_cannot_be_exported(
    builder: RunBuilder, run: RunPaths, tmp_path: Path, trial: str, expected: str
) -> None:
    builder.result("t0007", "completed", 0.3, 8)
    run.trial("t0007").result_json.write_text('{"status": ')
    with pytest.raises(ConfigError) as caught:
        export_lora(run, tmp_path / "out", trial)
    assert expected in str(caught.value)


def test_no_winner_yet(builder: RunBuilder, tmp_path: Path) -> None:
    with pytest.raises(NoAnswer, match="no winner"):
        export_lora(builder.run, tmp_path / "out")
