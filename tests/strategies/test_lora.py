"""LoRA: targets that all match, ranks that fit, and files that plain diffusers loads with their alpha."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from posttrain.config import LoraConfig
from posttrain.errors import ModelError
from posttrain.models.cosmos_predict25 import CosmosPredict25
from posttrain.strategies.lora import WEIGHT_NAME, LoraStrategy
from posttrain.training.video_bench import VideoBench
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
        if parameter.requires_grad:
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


@torch.no_grad()
@pytest.mark.parametrize("alpha", [None, ALPHA])
def test_plain_diffusers_loads_the_file_with_its_alpha(
    bench: VideoBench, attach: Attach, tiny: Path, tmp_path: Path, alpha: float | None
) -> None:
    """The official example drops the metadata, and a LoRA of alpha 12 and rank 4 comes back three times too weak."""
    family = bench.family
    assert isinstance(family, CosmosPredict25)
    strategy = attach(rank=RANK, alpha=alpha)
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
    plain.load_lora_weights(tmp_path, weight_name=WEIGHT_NAME)
    theirs = plain.transformer(latents, timestep, raw, return_dict=False, **inputs)[0]
    torch.testing.assert_close(theirs, ours, rtol=1e-5, atol=1e-5)
    assert (base - ours).abs().max() > 0.1


def test_the_header_carries_alpha_and_targets(attach: Attach, bench: VideoBench, tmp_path: Path) -> None:
    attach(rank=RANK, alpha=ALPHA, target_modules=["to_q"]).save(bench.family, tmp_path)
    with safe_open(tmp_path / WEIGHT_NAME, framework="pt") as file:
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
