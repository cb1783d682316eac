"""Every overfit test of this folder on tiny checkpoints, for each generation of its family."""

from pathlib import Path

import pytest

from posttrain import cli

HERE = Path(__file__).parent
pytestmark = pytest.mark.slow
# Fewer steps than the file's, where that clears every threshold by a third and more.
STEPS = {"cosmos-transfer-full": 40, "vlm-full": 40, "vlm-rl": 15}
# What a file runs on besides the checkpoint that it names, with the steps that it takes there.
OTHERS = {
    "cosmos-predict-lora": {"tiny:predict2": 80, "tiny:predict1": 120},
    "cosmos-predict-full": {"tiny:predict2-t2i": 150, "tiny:predict1-t2w": 80},
    "vlm-full": {"tiny:qwen2.5-vl": 50},
    "vlm-rl": {"tiny:qwen2.5-vl": 15},
}
FILES = sorted(HERE.glob("*.yaml"))
SHORTER = {name: [f"overfit.steps={steps}"] for name, steps in STEPS.items()}
RUNS = [pytest.param(path, SHORTER.get(path.stem, []), id=path.stem) for path in FILES] + [
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
    assert cli.run(["overfit", str(path), "training.learning_rate=1e-9", "overfit.steps=2"]) == 1
    told = capsys.readouterr().err
    assert "did not pass the gate" in told
    assert "learning rate 1e-09 is too low" in " ".join(told.split())
