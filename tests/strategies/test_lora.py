"""LoRA: targets that all match, ranks that fit, and files that plain diffusers loads with their alpha."""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from posttrain.config import LoraConfig
from posttrain.errors import ModelError
from posttrain.models.cosmos_predict25 import CosmosPredict25
from posttrain.strategies.adapters import PIPELINE_FILE
from posttrain.strategies.lora import LoraStrategy
from posttrain.training.video_bench import VideoBench
from tests.look import Look
from tests.plain_diffusers import plain_pipeline

Attach = Callable[..., LoraStrategy]
ALPHA, RANK = 12.0, 4


@pytest.fixture
def transformer(bench: VideoBench) -> torch.nn.Module:
    return bench.family.transformer


@pytest.fixture
def attach(bench: VideoBench) -> Iterator[Attach]:
    """Attaches strategies and takes each off at the end."""
    attached: list[LoraStrategy] = []

    def attach_(**settings: object) -> LoraStrategy:
        strategy = LoraStrategy(LoraConfig.model_validate({"type": "lora", **settings}))
        strategy.attach(bench.family, seed=0)
        attached.append(strategy)
        return strategy

    yield attach_
    for strategy in attached:
        strategy.detach(bench.family)


def randomise(transformer: torch.nn.Module) -> None:
    """As if trained: both factors of every adapter are far from zero."""
    generator = torch.Generator().manual_seed(1)
    for parameter in transformer.parameters():
        if parameter.requires_grad and parameter.dim() > 1:  # a DoRA's magnitudes stay those of the layers
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.2


@pytest.mark.parametrize(
    ("patterns", "wrong", "remedy"),
    [
        (["to_q", "to_qq"], "'to_qq'", "did you mean 'to_q'?"),
        (["to_q", "ff.net.0.prj"], "'ff.net.0.prj'", "did you mean 'ff.net.0.proj'?"),
        (["zzz"], "'zzz'", "of the transformer. It has"),
        (["o_q"], "'o_q'", "did you mean 'to_q'?"),
        (["crossattn_proj"], "'crossattn_proj'", "It has"),
    ],
)
def test_every_pattern_must_match(
    attach: Attach, transformer: torch.nn.Module, patterns: list[str], wrong: str, remedy: str
) -> None:
    with pytest.raises(ModelError) as raised:
        attach(target_modules=patterns)
    assert raised.value.message.startswith(f"strategy.target_modules: {wrong} matches no linear layer")
    assert remedy in raised.value.message
    assert not any(parameter.requires_grad for parameter in transformer.parameters())


def test_patterns_choose_layers_by_the_end_of_their_names(attach: Attach, transformer: torch.nn.Module) -> None:
    attach(target_modules=["attn2.to_q", "ff.net.2"])
    adapted = {name.split(".lora_A")[0] for name, _ in transformer.named_parameters() if ".lora_A." in name}
    blocks = len(transformer.get_submodule("transformer_blocks")._modules)
    assert adapted == {f"transformer_blocks.{i}.{end}" for i in range(blocks) for end in ("attn2.to_q", "ff.net.2")}


def test_a_rank_above_the_width_is_refused(attach: Attach, transformer: torch.nn.Module) -> None:
    layer = transformer.get_submodule("transformer_blocks.0.attn2.to_k")
    assert isinstance(layer, torch.nn.Linear)
    width = min(layer.in_features, layer.out_features)
    with pytest.raises(ModelError, match=rf"strategy\.rank: {width + 1} exceeds the width {width} of layer .*to_k"):
        attach(rank=width + 1, target_modules=["attn2.to_k"])
    attach(rank=width, target_modules=["attn2.to_k"])


@pytest.mark.parametrize(
    ("settings", "scaling"),
    [
        ({}, 1.0),
        ({"alpha": ALPHA}, ALPHA / RANK),
        ({"alpha": ALPHA, "rslora": True}, ALPHA / math.sqrt(RANK)),
        ({"alpha": ALPHA, "dora": True, "dropout": 0.3}, ALPHA / RANK),
    ],
)
def test_every_setting_reaches_the_layers(
    bench: VideoBench, attach: Attach, transformer: torch.nn.Module, settings: dict[str, Any], scaling: float
) -> None:
    from peft.tuners.lora import LoraLayer

    attach(rank=RANK, target_modules=["attn2.to_q", "ff.net.2"], **settings)
    layers = [module for module in transformer.modules() if isinstance(module, LoraLayer)]
    assert layers
    for layer in layers:
        assert layer.r == {"default": RANK}
        assert layer.scaling["default"] == pytest.approx(scaling)
        dropout = layer.lora_dropout["default"]
        assert getattr(dropout, "p", 0.0) == settings.get("dropout", 0.0)
        magnitudes = [parameter for name, parameter in layer.named_parameters() if "lora_magnitude_vector" in name]
        assert len(magnitudes) == int(settings.get("dora", False))
        assert all(parameter.requires_grad for parameter in magnitudes)


@torch.no_grad()
@pytest.mark.parametrize(
    "settings",
    [{}, {"alpha": ALPHA}, {"alpha": ALPHA, "rslora": True}, {"alpha": ALPHA, "dora": True}],
    ids=["plain", "alpha", "rslora", "dora"],
)
def test_plain_diffusers_loads_the_file_with_its_strength(
    bench: VideoBench, attach: Attach, tiny: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    """The official example drops the metadata, and a LoRA of alpha 12 and rank 4 comes back three times too weak."""
    family = bench.family
    assert isinstance(family, CosmosPredict25)
    strategy = attach(rank=RANK, **settings)
    randomise(family.transformer)
    strategy.save(bench.family, tmp_path)

    sample = bench.samples()[0]
    latents = bench.store.latents(sample)[None]
    mask = torch.zeros(1, 1, *latents.shape[2:])
    inputs = {"condition_mask": mask, "padding_mask": torch.zeros(1, 1, 32, 32)}
    timestep = torch.full((1, 1, latents.shape[2], 1, 1), 0.5)
    ours = family.transformer(latents, timestep, bench.store.prompt(sample.caption)[None], return_dict=False, **inputs)[
        0
    ]

    plain = plain_pipeline(tiny)
    raw, _ = plain.encode_prompt(sample.caption, do_classifier_free_guidance=False, max_sequence_length=64)
    base = plain.transformer(latents, timestep, raw, return_dict=False, **inputs)[0]
    plain.load_lora_weights(tmp_path, weight_name=PIPELINE_FILE)
    theirs = plain.transformer(latents, timestep, raw, return_dict=False, **inputs)[0]
    torch.testing.assert_close(theirs, ours, rtol=1e-5, atol=1e-5)
    assert (base - ours).abs().max() > 0.1
    plain.unload_lora_weights()
    plain.transformer.load_lora_adapter(tmp_path, prefix="transformer", weight_name=PIPELINE_FILE)
    without_mixin = plain.transformer(latents, timestep, raw, return_dict=False, **inputs)[0]
    assert torch.equal(without_mixin, theirs), "how a pipeline without load_lora_weights reads it"


def test_the_header_carries_alpha_and_targets(attach: Attach, bench: VideoBench, tmp_path: Path) -> None:
    attach(rank=RANK, alpha=ALPHA, target_modules=["to_q"]).save(bench.family, tmp_path)
    with safe_open(tmp_path / PIPELINE_FILE, framework="pt") as file:
        metadata = json.loads(file.metadata()["lora_adapter_metadata"])
    assert metadata["transformer.lora_alpha"] == ALPHA
    assert metadata["transformer.r"] == RANK
    assert metadata["transformer.target_modules"] == ["to_q"]


def test_a_file_of_other_layers_is_refused(attach: Attach, bench: VideoBench, tmp_path: Path) -> None:
    strategy = attach(target_modules=["to_q"])
    strategy.save(bench.family, tmp_path)
    strategy.detach(bench.family)
    other = attach(target_modules=["to_q", "to_k"])
    with pytest.raises(ModelError, match="written for other layers than this trial's adapter"):
        other.load(bench.family, tmp_path)


class ControlledModel:
    """A transformer and a ControlNet, as a strategy sees a Transfer checkpoint."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.modules = {"transformer": torch.nn.Linear(2, 2), "controlnet": controlnet()}
        for network in self.modules.values():
            network.requires_grad_(False).eval()

    def replace(self, name: str, network: torch.nn.Module) -> None:
        self.modules[name] = network

    def write(self, *_: object) -> None:
        raise AssertionError("an adapter is no network")

    def read(self, *_: object) -> dict[str, torch.Tensor]:
        raise AssertionError("an adapter is no network")


def controlnet() -> Any:
    from diffusers import CosmosControlNetModel

    return CosmosControlNetModel(
        n_controlnet_blocks=2,
        in_channels=4,
        latent_channels=4,
        model_channels=32,
        num_attention_heads=2,
        attention_head_dim=16,
        mlp_ratio=2.0,
        text_embed_dim=16,
        adaln_lora_dim=8,
        patch_size=(1, 2, 2),
        max_size=(4, 8, 8),
    )


def blocks(network: Any) -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    clip_BCThw = torch.randn(1, 2, 2, 4, 4, generator=draw)
    (found,) = network(
        controls_latents=clip_BCThw,
        latents=clip_BCThw,
        timestep=torch.full((1,), 0.5),
        encoder_hidden_states=torch.randn(1, 3, 16, generator=draw),
        condition_mask=torch.zeros(1, 1, 2, 4, 4),
        padding_mask=torch.zeros(1, 1, 8, 8),
        return_dict=False,
    )
    return torch.stack(found)


@torch.no_grad()
@pytest.mark.parametrize("settings", [{}, {"rslora": True}, {"dora": True}], ids=["plain", "rslora", "dora"])
def test_plain_peft_loads_an_adapter_of_a_controlnet(tmp_path: Path, settings: dict[str, Any]) -> None:
    from peft import PeftModel

    model = ControlledModel()
    network = model.modules["controlnet"]
    before, base = Look(network), blocks(network)
    config = LoraConfig.model_validate({"type": "lora", "rank": RANK, "alpha": ALPHA, **settings})
    strategy = LoraStrategy(config)
    strategy.attach(model, seed=0)
    randomise(network)
    ours = blocks(network)
    strategy.save(model, tmp_path)
    strategy.detach(model)
    assert Look(network) == before
    assert not any(parameter.requires_grad for parameter in model.modules["transformer"].parameters())
    assert {path.name for path in (tmp_path / "controlnet").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }

    strategy.attach(model, seed=1)
    strategy.load(model, tmp_path)
    assert torch.equal(blocks(network), ours)
    strategy.detach(model)

    theirs = PeftModel.from_pretrained(network, str(tmp_path / "controlnet"))
    torch.testing.assert_close(blocks(theirs.base_model.model), ours, rtol=1e-5, atol=1e-5)
    assert (base - ours).abs().max() > 0.01


def test_a_controlnets_layers_are_named_in_the_message() -> None:
    strategy = LoraStrategy(LoraConfig.model_validate({"type": "lora", "target_modules": ["to_qq"], "rank": 2}))
    with pytest.raises(ModelError, match=r"matches no linear layer of the controlnet; did you mean 'to_q'\?"):
        strategy.attach(ControlledModel(), seed=0)
