"""`check` and `plan` answer from headers and remembered inspections: no library for training or for Ray is loaded."""

import subprocess
import sys
from pathlib import Path

import pytest

QUICKSTART = Path(__file__).parents[2] / "sweeps" / "quickstart.yaml"
TRAINING = ("torch", "ray", "diffusers", "transformers", "peft", "trl", "accelerate", "datasets", "optuna", "pandas")
MEDIA = ("av", "cv2", "PIL", "imagehash")


def _loaded(names: tuple[str, ...], folder: Path) -> list[str]:
    """Those of `names` that `check` and `plan` of the quickstart, one after the other, have loaded at the end."""
    program = (
        "import sys\nfrom posttrain.cli import run\n"
        "codes = [run([command, sys.argv[1]]) for command in ('check', 'plan')]\n"
        f"print('loaded:', *[name for name in {names!r} if name in sys.modules])\nsys.exit(max(codes))"
    )
    started = [sys.executable, "-c", program, str(QUICKSTART)]
    done = subprocess.run(started, capture_output=True, text=True, check=True, cwd=folder)
    return done.stdout.splitlines()[-1].split()[1:]


@pytest.mark.slow
@pytest.mark.timeout(600)  # renders the clips of the quickstart, and on a fresh cache its checkpoint
def test_nothing_that_trains_is_loaded(tiny: Path, tmp_path: Path) -> None:
    assert tiny.is_dir()
    assert _loaded(TRAINING, tmp_path) == []
    assert _loaded((*TRAINING, *MEDIA), tmp_path) == [], "the second time nothing is decoded"
