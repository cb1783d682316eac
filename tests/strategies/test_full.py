"""Full: which networks and weights train, in which precision, and what its files are to plain diffusers."""

from pathlib import Path
from typing import Any

import pytest
import torch

from posttrain.config import FullConfig
from posttrain.errors import ModelError
from posttrain.models.folders import read_tensors
from posttrain.strategies.full import FullStrategy
from posttrain.training.video_bench import VideoBench
from tests.look import Look
from tests.tiny_trial import open_bench, trial_config


def strategy(**settings: Any) -> FullStrategy:
    return FullStrategy(FullConfig.model_validate({"type": "full", **settings}))


class TwoNetworks:
    """As a strategy sees a Transfer checkpoint."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.modules: dict[str, torch.nn.Module] = {
            "transformer": torch.nn.Linear(2, 2).requires_grad_(False),
            "controlnet": torch.nn.Linear(3, 3).requires_grad_(False),
        }

    def replace(self, name: str, network: torch.nn.Module) -> None:
        self.modules[name] = network

    def write(self, name: str, network: torch.nn.Module, state: Any, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(dict(state), folder / f"{name}.weights")

    def read(self, name: str, folder: Path) -> dict[str, torch.Tensor]:
        return dict(torch.load(folder / f"{name}.weights", weights_only=True))


@pytest.mark.parametrize(
    ("settings", "trained"),
    [
        ({}, ["controlnet"]),
        ({"modules": ["controlnet"]}, ["controlnet"]),
        ({"modules": ["controlnet", "transformer"]}, ["controlnet", "transformer"]),
    ],
)
def test_of_two_networks_the_controlnet_trains_alone_unless_both_are_named(
    tmp_path: Path, settings: dict[str, Any], trained: list[str]
) -> None:
    model = TwoNetworks()
    bases, before = dict(model.modules), {name: Look(network) for name, network in model.modules.items()}
    full = strategy(**settings)
    parameters = full.attach(model, seed=0)
    assert {name for name, network in model.modules.items() if network is not bases[name]} == set(trained)
    assert len(parameters) == 2 * len(trained)
    with torch.no_grad():
        for parameter in parameters:
            parameter.add_(1.0)
    full.save(model, tmp_path)
    assert {path.stem for path in tmp_path.iterdir()} == set(trained)
    full.detach(model)
    assert model.modules == bases
    assert {name: Look(network) for name, network in bases.items()} == before


def test_the_average_follows_the_weights_ever_more_slowly() -> None:
    """Decay (1 + n) / (10 + n) at the n-th step after the first, up to the decay that the file gives."""
    model = TwoNetworks()
    full = strategy(ema=0.2)
    (weight, _) = full.attach(model, seed=0)
    expected = torch.zeros_like(weight)
    for step in range(6):
        with torch.no_grad():
            weight.copy_(torch.full_like(weight, float(step * step)))
        full.stepped(model)
        decay = 0.0 if step == 0 else min(0.2, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight.detach()
    with full.measured(model):
        torch.testing.assert_close(weight.detach(), expected)
    assert torch.equal(weight.detach(), torch.full_like(weight, 25.0))
    full.detach(model)


def test_a_network_that_is_not_there_is_named(bench: VideoBench) -> None:
    with pytest.raises(ModelError, match=r"strategy\.modules: this model has no 'controlnet', it has transformer"):
        strategy(modules=["controlnet"]).attach(bench.family, seed=0)


@pytest.mark.parametrize(
    ("freeze", "message"),
    [
        (
            ["transformer_block.0"],
            "no parameter begins with 'transformer_block.0'; did you mean 'transformer_blocks.0'?",
        ),
        (["transformer_blocks.0", "zzz"], "no parameter begins with 'zzz'. The names begin with norm_out, patch_embed"),
        (["transformer_blocks.0.atn1"], "did you mean 'transformer_blocks.0.attn1'?"),
        (["norm_out", "patch_embed", "proj_out", "time_embed", "transformer_blocks"], "freezes every parameter"),
    ],
)
def test_a_wrong_prefix_is_named_with_the_nearest(bench: VideoBench, freeze: list[str], message: str) -> None:
    before = bench.family.transformer
    with pytest.raises(ModelError) as raised:
        strategy(freeze=freeze).attach(bench.family, seed=0)
    assert raised.value.message.startswith("strategy.freeze: ")
    assert message in raised.value.message
    assert bench.family.transformer is before


def test_frozen_weights_stay_out_of_training(bench: VideoBench) -> None:
    full = strategy(freeze=["transformer_blocks.0", "norm_out."])
    full.attach(bench.family, seed=0)
    try:
        named = dict(bench.family.transformer.named_parameters())
        frozen = {name for name, parameter in named.items() if not parameter.requires_grad}
        assert frozen == {name for name in named if name.startswith(("transformer_blocks.0.", "norm_out."))}
    finally:
        full.detach(bench.family)


def test_a_bf16_base_is_trained_in_float32_and_computed_in_bf16(tiny: Path, tmp_path: Path) -> None:
    assert tiny.is_dir()
    bench = open_bench(trial_config({"training.precision": "bf16"}))
    family, before = bench.family, Look(bench.family.transformer)
    full = strategy()
    full.attach(family, seed=0)
    seen: list[torch.dtype] = []
    layer = family.transformer.get_submodule("transformer_blocks.0.ff.net.2")
    layer.register_forward_hook(lambda module, args, output: seen.append(output.dtype))
    sample = bench.samples()[0]
    family.continue_clip(sample_frames(bench), bench.store.prompt(sample.caption), steps=1, seed=0)
    assert set(seen) == {torch.bfloat16}
    assert {parameter.dtype for parameter in family.transformer.parameters()} == {torch.float32}
    full.save(family, tmp_path)
    full.detach(family)
    assert Look(family.transformer) == before
    assert {value.dtype for value in read_tensors(tmp_path / "transformer").values()} == {torch.float32}


def sample_frames(bench: VideoBench) -> Any:
    from posttrain.data import decode

    sample = bench.samples()[0]
    return decode(sample.video, bench.family.clip, sample.start_s)


def test_the_projection_of_prompts_never_trains_so_cached_prompts_stay_true(
    bench: VideoBench, tiny: Path, tmp_path: Path
) -> None:
    """Prompts are kept behind `crossattn_proj`: were it trained, a trial would go on with the base's projection."""
    family, caption = bench.family, bench.samples()[0].caption
    before = bench.store.prompt(caption), family.prompts_key
    full = strategy()
    parameters = full.attach(family, seed=0)
    try:
        with torch.no_grad():
            for parameter in parameters:
                parameter.add_(0.1)
        assert not [name for name, _ in family.transformer.named_parameters() if name.startswith("crossattn_proj")]
        assert torch.equal(family.encode_prompts([caption])[0], before[0])
        assert family.prompts_key == before[1]
        full.save(family, tmp_path)
    finally:
        full.detach(family)
    ours, theirs = read_tensors(tmp_path / "transformer"), read_tensors(tiny / "transformer")
    same = {name for name in theirs if torch.equal(ours[name], theirs[name].float())}
    assert same == {name for name in theirs if name.startswith("crossattn_proj.")} != set()


def test_the_folder_is_one_of_plain_diffusers(bench: VideoBench, tiny: Path, tmp_path: Path) -> None:
    """Untrained, it is the checkpoint's own file again: the text projection is put back."""
    full = strategy()
    full.attach(bench.family, seed=0)
    full.save(bench.family, tmp_path)
    full.detach(bench.family)
    ours, theirs = read_tensors(tmp_path / "transformer"), read_tensors(tiny / "transformer")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name].float()) for name in theirs)
    config = (tmp_path / "transformer/config.json").read_text()
    assert '"_class_name": "CosmosTransformer3DModel"' in config
    assert str(tiny) not in config
