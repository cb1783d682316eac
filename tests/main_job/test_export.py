"""The exported adapter in plain diffusers: it continues a training clip better than the base does."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from posttrain import cli
from tests.main_job.conftest import Finished

pytestmark = pytest.mark.ray
SCRIPT = Path(__file__).with_name("continue_with_diffusers.py")


def test_exported_adapter_continues_a_training_clip_better_than_the_base(finished: Finished, tiny: Path) -> None:
    folder = finished.program.folder
    assert cli.run(["export", str(folder / "runs/small"), str(folder / "adapter")]) == 0
    assert {path.name for path in (folder / "adapter").iterdir()} == {
        *("README.md", "pytorch_lora_weights.safetensors", "adapter_config.json", "adapter_model.safetensors")
    }, "what only resuming needs stays behind"
    manifest = (folder / "runs/small/data/manifest.jsonl").read_text().splitlines()
    clip = next(record for record in map(json.loads, manifest) if record["split"] == "train")
    command = [sys.executable, str(SCRIPT), str(tiny), clip["video"], clip["caption"], "adapter"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    errors = json.loads(done.stdout.splitlines()[-1])
    assert errors["adapter"] < 0.9 * errors["base"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("runs/nothing", "out"), "not a run directory"),
        (("runs/small", "out", "--trial", "t0099"), "t0099"),
        (("runs/small", "out", "--metric", "held_out/losss"), "held_out/losss"),
        (("runs/small", "runs"), "holds other files"),
        (("runs/small", "adapter"), "holds an earlier export"),
    ],
)
def test_export_says_what_is_wrong(
    finished: Finished,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    expected: str,
) -> None:
    monkeypatch.chdir(finished.program.folder)
    assert cli.run(["export", *arguments]) == 2
    assert expected in capsys.readouterr().err
