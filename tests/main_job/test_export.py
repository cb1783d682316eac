"""The exported adapter in plain diffusers: it continues a training clip better than the base does."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.main_job.conftest import Finished

pytestmark = pytest.mark.ray
SCRIPT = Path(__file__).with_name("continue_with_diffusers.py")


def test_exported_adapter_continues_a_training_clip_better_than_the_base(finished: Finished, tiny: Path) -> None:
    exported = finished.program("export", "runs/small", "adapter")
    assert exported.exit_code == 0, exported.output
    assert {path.name for path in (finished.program.folder / "adapter").iterdir()} == {
        *("README.md", "pytorch_lora_weights.safetensors", "adapter_config.json", "adapter_model.safetensors")
    }, "what only resuming needs stays behind"
    manifest = (finished.program.folder / "runs/small/data/manifest.jsonl").read_text().splitlines()
    clip = next(record for record in map(json.loads, manifest) if record["split"] == "train")
    command = [sys.executable, str(SCRIPT), str(tiny), clip["video"], clip["caption"], "adapter"]
    done = subprocess.run(command, cwd=finished.program.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    errors = json.loads(done.stdout.splitlines()[-1])
    assert errors["adapter"] < 0.9 * errors["base"]


def test_export_says_what_is_wrong(finished: Finished) -> None:
    for arguments, expected in (
        (("runs/nothing", "out"), "not a run directory"),
        (("runs/small", "out", "--trial", "t0099"), "t0099"),
        (("runs/small", "out", "--metric", "held_out/losss"), "held_out/losss"),
        (("runs/small", "runs"), "holds other files"),
        (("runs/small", "adapter"), "holds an earlier export"),
    ):
        ended = finished.program("export", *arguments)
        assert ended.exit_code == 2, ended.output
        assert expected in ended.output
        assert "Traceback" not in ended.output
