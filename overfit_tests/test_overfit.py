"""Every overfit test of this folder on tiny checkpoints, for each generation of its family."""

from pathlib import Path

import pytest

from posttrain import cli

HERE = Path(__file__).parent
pytestmark = pytest.mark.slow
# What a file runs on besides the checkpoint that it names, with the steps that it takes there.
OTHERS = {
    "cosmos-predict-lora": {"tiny:predict2": 80, "tiny:predict1": 120},
    "cosmos-predict-full": {"tiny:predict2-t2i": 300, "tiny:predict1-t2w": 120},
    "vlm-full": {"tiny:qwen2.5-vl": 100},
    "vlm-rl": {"tiny:qwen2.5-vl": 30},
}
FILES = sorted(HERE.glob("*.yaml"))
RUNS = [pytest.param(path, [], id=path.stem) for path in FILES] + [
    pytest.param(
        HERE / f"{name}.yaml",
        [f"model.checkpoint={checkpoint}", f"overfit.steps={steps}"],
        id=f"{name}-{checkpoint}",
        marks=pytest.mark.full,
    )
    for name, checkpoints in OTHERS.items()
    for checkpoint, steps in checkpoints.items()
]


@pytest.mark.parametrize(("path", "overrides"), RUNS)
def test_a_few_samples_are_learned_by_heart(path: Path, overrides: list[str]) -> None:
    assert cli.run(["overfit", str(path), *overrides]) == 0


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_cannot_learn_is_told(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["overfit", str(path), "training.learning_rate=1e-9", "overfit.steps=10"]) == 1
    assert "did not pass the gate" in capsys.readouterr().err
