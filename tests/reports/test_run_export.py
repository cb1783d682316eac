"""`posttrain export` before the sweep has ended, and what it says of trials that cannot be exported."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

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
    assert (chosen.compared, chosen.winner) == (3, None)
    copy_trained(chosen, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["pytorch_lora_weights.safetensors"]


def test_a_metrics_own_best_trial_is_taken_and_named(builder: RunBuilder, run: RunPaths, checkpoint: Path) -> None:
    """The PSNR of these runs is best where the objective is worst, in t0005."""
    for trial, step in (("t0005", 24), ("t0002", 12)):
        shutil.copytree(checkpoint, run.trial(trial).checkpoints / f"step-{step:06d}")
    chosen = choose(run, metric="held_out/psnr")
    assert (chosen.trial, chosen.step, chosen.value, chosen.compared) == ("t0005", 24, 10 + 20 * 0.4512, 3)
    assert chosen.winner == "t0001"
    assert str(chosen) == (
        "t0005 at step 24: held_out/psnr 19.02 (base model 18.24, higher is better), the best of 3 trials"
    )
    named = choose(run, "t0002", "held_out/psnr")
    assert (named.trial, named.step, named.compared) == ("t0002", 12, None)
    assert str(named) == "t0002 at step 12: held_out/psnr 17.8 (base model 18.24, higher is better)"
    with pytest.raises(ConfigError, match=r"no trial has a metric 'held_out/psn'\. Did you mean 'held_out/psnr'\?"):
        choose(run, metric="held_out/psn")
    with pytest.raises(
        ConfigError, match=r"trial t0002 has no metric 'other/loss'\..* There is held_out/loss, held_out/psnr"
    ):
        choose(run, "t0002", "other/loss")


PREDICT = Source("nvidia/Cosmos-Predict2.5-2B", "Cosmos2_5_PredictBasePipeline", "diffusers/base")


def test_the_card_names_a_hub_checkpoints_revision(run: RunPaths, checkpoint: Path, tmp_path: Path) -> None:
    copy_trained(choose(run), tmp_path / "out")
    write_card(choose(run), PREDICT, tmp_path / "out", "out")
    text = (tmp_path / "out/README.md").read_text()
    assert 'base = "nvidia/Cosmos-Predict2.5-2B"\n' in text
    assert '.from_pretrained(base, revision="diffusers/base")' in text
    assert "t0001 at step 56: held_out/loss 0.312 (base model 0.4121, lower is better), the best of 3 trials." in text
    assert str(tmp_path) not in text


def test_the_header_has_the_bases_licence_or_asks_for_it(run: RunPaths, checkpoint: Path, tmp_path: Path) -> None:
    facts = {"run": "a", "trial": "t0001", "result": "good", "parameters": {}}
    unknown = card(facts, PREDICT, tmp_path, "out")
    assert "\n# license: not found beside the base model; fill in" in unknown
    licence = {"license": "other", "license_name": "open: model", "license_link": "https://example.org/licence"}
    known = card(facts, replace(PREDICT, license=licence, strategy="full", family="f"), tmp_path, "out")
    document = yaml.safe_load(known.split("---\n")[1])
    assert document == {
        "base_model": "nvidia/Cosmos-Predict2.5-2B",
        "base_model_relation": "finetune",
        "library_name": "diffusers",
        **licence,
        "tags": ["posttrain", "f", "full"],
    }


def test_names_with_quotes_and_braces_stay_python(run: RunPaths, tmp_path: Path) -> None:
    source = replace(PREDICT, name='my "base" {1}', revision=None, origin="a folder")
    (tmp_path / "pytorch_lora_weights.safetensors").touch()
    facts = {"run": "a", "trial": "t0001", "result": "good", "parameters": {}}
    text = card(facts, source, tmp_path, 'out {trained} "2"')
    python = text.split("```python\n")[1].split("```")[0]
    names: dict[str, object] = {}
    lines = [line for line in python.splitlines() if line.startswith(("base =", "trained ="))]
    exec("\n".join(lines), names)
    assert (names["base"], names["trained"]) == ('my "base" {1}', 'out {trained} "2"')


def test_the_card_fetches_a_controlnet_from_its_own_revision(run: RunPaths, checkpoint: Path, tmp_path: Path) -> None:
    place = "diffusers/controlnet/general/depth"
    source = Source("nvidia/Cosmos-Transfer2.5-2B", "Cosmos2_5_TransferPipeline", "diffusers/general", place)
    facts = {"run": "a", "trial": "t0001", "result": "good", "parameters": {}}
    (tmp_path / "controlnet").mkdir()
    (tmp_path / "controlnet/adapter_config.json").write_text("{}")
    text = card(facts, source, tmp_path, "out")
    assert f'CosmosControlNetModel.from_pretrained(base, revision="{place}")' in text
    assert 'PeftModel.from_pretrained(controlnet, trained, subfolder="controlnet")' in text
    assert 'revision="diffusers/general", controlnet=controlnet)' in text
    (tmp_path / "controlnet/adapter_config.json").unlink()
    (tmp_path / "controlnet").rmdir()
    (tmp_path / "transformer").mkdir()
    assert "transformer=transformer, controlnet=controlnet)" in card(facts, source, tmp_path, "out")


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
