"""What every strategy owes: nothing changes at attachment, nothing is left at detachment, files hold every bit."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from posttrain.config.strategy import StrategyConfig
from posttrain.models.base import Noise
from posttrain.strategies import STRATEGIES, Strategy
from posttrain.training.video_bench import VideoBench
from tests.look import Look

# what is drawn at attachment: all of an adapter's first factors, nothing of a copy of the base
VARIANTS: dict[str, dict[str, Any]] = {
    "lora": {"type": "lora"},
    "lora-dora": {"type": "lora", "dora": True, "rslora": True},
    "full": {"type": "full"},
    "full-ema": {"type": "full", "ema": 0.9},
    "full-frozen": {"type": "full", "freeze": ["transformer_blocks.0", "norm_out"]},
    "rl": {"type": "rl"},
}


def test_every_strategy_is_here() -> None:
    assert {settings["type"] for settings in VARIANTS.values()} == set(STRATEGIES)


@pytest.fixture(params=list(VARIANTS))
def settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    return VARIANTS[request.param]


@pytest.fixture
def strategy(settings: dict[str, Any]) -> Strategy:
    """Each registered strategy."""
    return STRATEGIES[settings["type"]](TypeAdapter(StrategyConfig).validate_python(settings))


@pytest.fixture
def transformer(bench: VideoBench, strategy: Strategy) -> Iterator[torch.nn.Module]:
    """The shared transformer, which must come back bit for bit whatever a test does."""
    transformer = bench.family.transformer
    before = Look(transformer)
    yield transformer
    assert bench.family.transformer is transformer
    assert Look(transformer) == before


def measure(bench: VideoBench) -> torch.Tensor:
    sample = bench.samples()[0]
    latents = bench.store.latents(sample)[None]
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    prompt = bench.store.prompt(sample.caption)[None]
    return bench.family.loss(latents, prompt, Noise(torch.tensor([0.7]), noise, torch.tensor([1])))


def both_losses(bench: VideoBench, strategy: Strategy) -> tuple[float, float]:
    """Of the weights that train, and of those that are measured and exported."""
    with torch.no_grad():
        raw = float(measure(bench))
        with strategy.measured(bench.family):
            return raw, float(measure(bench))


def train(
    bench: VideoBench, parameters: list[torch.nn.Parameter], steps: int = 2, strategy: Strategy | None = None
) -> None:
    optimizer = torch.optim.SGD(parameters, lr=1.0)
    for _ in range(steps):  # of a LoRA's two factors only one gets a gradient at first
        optimizer.zero_grad()
        measure(bench).backward()
        optimizer.step()
        if strategy is not None:
            strategy.stepped(bench.family)
    for parameter in parameters:
        parameter.grad = None


def test_attached_untrained_it_gives_the_bases_output(
    bench: VideoBench, strategy: Strategy, transformer: torch.nn.Module
) -> None:
    base = measure(bench)
    strategy.attach(bench.family, seed=0)
    try:
        torch.testing.assert_close(measure(bench), base, rtol=1e-6, atol=1e-6)
    finally:
        strategy.detach(bench.family)
    assert torch.equal(measure(bench), base)


def test_only_what_it_returns_is_trained_in_float32(
    bench: VideoBench, strategy: Strategy, transformer: torch.nn.Module
) -> None:
    base = {name: value.clone() for name, value in transformer.state_dict().items()}
    parameters = strategy.attach(bench.family, seed=0)
    try:
        assert parameters
        attached = bench.family.transformer  # a copy, or the base with adapters in it
        wanted = {id(parameter) for parameter in attached.parameters() if parameter.requires_grad}
        assert {id(parameter) for parameter in parameters} == wanted
        assert {parameter.dtype for parameter in parameters} == {torch.float32}
        before, loss = [parameter.detach().clone() for parameter in parameters], measure(bench)
        train(bench, parameters)
        assert all(not torch.equal(a, b) for a, b in zip(before, parameters, strict=True))
        assert measure(bench) != loss
        resting = {name: value for name, value in attached.named_parameters() if not value.requires_grad}
        assert all(torch.equal(value, base[name.replace(".base_layer", "")]) for name, value in resting.items())
    finally:
        strategy.detach(bench.family)
    assert all(torch.equal(value, base[name]) for name, value in transformer.state_dict().items())


def test_the_seed_alone_decides_the_start(
    bench: VideoBench, strategy: Strategy, settings: dict[str, Any], transformer: torch.nn.Module
) -> None:
    starts = []
    for seed, noise in ((3, 0), (3, 1), (4, 0)):
        torch.manual_seed(noise)
        starts.append([parameter.detach().clone() for parameter in strategy.attach(bench.family, seed=seed)])
        strategy.detach(bench.family)
    assert all(torch.equal(a, b) for a, b in zip(starts[0], starts[1], strict=True))
    drawn = not all(torch.equal(a, b) for a, b in zip(starts[0], starts[2], strict=True))
    assert drawn == (settings["type"] == "lora"), "a copy of the base has nothing to draw"


def test_save_and_load_are_exact(
    bench: VideoBench, strategy: Strategy, transformer: torch.nn.Module, tmp_path: Path
) -> None:
    parameters = strategy.attach(bench.family, seed=0)
    train(bench, parameters, strategy=strategy)
    trained, losses = [parameter.detach().clone() for parameter in parameters], both_losses(bench, strategy)
    strategy.save(bench.family, tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(trained, parameters, strict=True)), "writing changes nothing"
    strategy.detach(bench.family)
    files = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert files <= {".safetensors", ".json"}, "nothing is pickled"

    again = strategy.attach(bench.family, seed=1)
    try:
        strategy.load(bench.family, tmp_path)
        assert all(torch.equal(a, b) for a, b in zip(trained, again, strict=True))
        assert all(parameter.requires_grad for parameter in again)
        assert both_losses(bench, strategy) == losses
    finally:
        strategy.detach(bench.family)


def test_many_trials_leave_no_trace(bench: VideoBench, strategy: Strategy, transformer: torch.nn.Module) -> None:
    for seed in range(3):
        train(bench, strategy.attach(bench.family, seed=seed), steps=1)
        strategy.detach(bench.family)
