"""`posttrain export` before the sweep has ended, and what it says of trials that cannot be exported."""

from pathlib import Path

import pytest

from posttrain.errors import ConfigError, NoAnswer
from posttrain.paths import RunPaths
from posttrain.reports.card import Source, card
from posttrain.reports.export import choose, copy_trained, write_card
from tests.reports.conftest import RunBuilder


@pytest.fixture
def checkpoint(run: RunPaths) -> Path:
    """A checkpoint of the best trial, with what only resuming needs in it."""
    folder = run.trial("t0001").checkpoints / "step-000056"
    (folder / "raw/transformer").mkdir(parents=True)
    for name in ("pytorch_lora_weights.safetensors", "optimizer.pt", "rng_state_0.pth", "trainer_state.json"):
        (folder / name).write_bytes(b"content")
    run.sweep_yaml.write_text(run.sweep_yaml.read_text() + "model: {checkpoint: tiny}\n")
    return folder


def test_the_best_so_far_is_exported_without_a_summary(run: RunPaths, checkpoint: Path, tmp_path: Path) -> None:
    chosen = choose(run)
    assert (chosen.trial, chosen.step, chosen.baseline, chosen.base) == ("t0001", 56, 0.4121, "tiny")
    assert chosen.folder == checkpoint
    assert chosen.is_adapter
    copy_trained(chosen, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["pytorch_lora_weights.safetensors"]


def test_the_card_names_a_hub_checkpoints_revision(run: RunPaths, checkpoint: Path, tmp_path: Path) -> None:
    copy_trained(choose(run), tmp_path / "out")
    source = Source("nvidia/Cosmos-Predict2.5-2B", "diffusers/base", "Cosmos2_5_PredictBasePipeline")
    write_card(choose(run), source, tmp_path / "out")
    text = (tmp_path / "out/README.md").read_text()
    assert '.from_pretrained("nvidia/Cosmos-Predict2.5-2B", revision="diffusers/base")' in text
    assert "held_out/loss 0.312 at step 56 (base model: 0.4121)" in text


def test_the_card_fetches_a_controlnet_from_its_own_revision(run: RunPaths, checkpoint: Path, tmp_path: Path) -> None:
    place = "diffusers/controlnet/general/depth"
    source = Source("nvidia/Cosmos-Transfer2.5-2B", "diffusers/general", "Cosmos2_5_TransferPipeline", place)
    facts = choose(run).facts
    (tmp_path / "controlnet").mkdir()
    (tmp_path / "controlnet/adapter_config.json").write_text("{}")
    text = card("run", facts, source, tmp_path)
    assert f'CosmosControlNetModel.from_pretrained("nvidia/Cosmos-Transfer2.5-2B", revision="{place}")' in text
    assert f'PeftModel.from_pretrained(controlnet, "{tmp_path / "controlnet"}")' in text
    assert 'revision="diffusers/general", controlnet=controlnet)' in text
    (tmp_path / "controlnet/adapter_config.json").unlink()
    (tmp_path / "controlnet").rmdir()
    (tmp_path / "transformer").mkdir()
    assert "transformer=transformer, controlnet=controlnet)" in card("run", facts, source, tmp_path)


def test_a_checkpoint_that_is_gone(run: RunPaths) -> None:
    with pytest.raises(ConfigError, match="the checkpoint is gone"):
        choose(run)


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
def test_a_trial_that_cannot_be_exported(builder: RunBuilder, run: RunPaths, trial: str, expected: str) -> None:
    builder.result("t0007", "completed", 0.3, 8)
    run.trial("t0007").result_json.write_text('{"status": ')
    with pytest.raises(ConfigError) as caught:
        choose(run, trial)
    assert expected in str(caught.value)


def test_no_winner_yet(builder: RunBuilder) -> None:
    with pytest.raises(NoAnswer, match="no winner"):
        choose(builder.run)
