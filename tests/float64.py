"""Trials in float64, for equivalences that hold up to rounding.

How far two float32 trainings of the same batches drift apart depends on the order in which one CPU sums, so no bound
on it is right for another CPU. In float64 the same drift is nine digits smaller, and everything that is not rounding
stands out.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode

from posttrain.config import TrialConfig
from posttrain.models.cosmos_base import CosmosFamily
from posttrain.paths import TrialPaths
from posttrain.training.chat_bench import ChatBench
from posttrain.training.train import train
from posttrain.training.video_bench import VideoBench
from tests.tiny_trial import Listener

# Bounds that follow from float64's unit of 2.2e-16. A gradient that is zero but for rounding is divided by AdamW's
# epsilon of 1e-8, so each step may move its weight by 2e-8 learning rates: twelve steps at 1e-2 by 3e-9.
WEIGHTS_ATOL = 1e-8
# Losses feel such weights in second order alone; sums of a million terms may lose six of sixteen digits.
VALUES_RTOL = 1e-9


class _Float64(TorchFunctionMode):
    """Everything that asks for float32 gets float64: our own code, and the libraries' where they round in between."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[Any], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        if func is torch.Tensor.float:
            func = torch.Tensor.double
        named = {name: _widened(value) for name, value in (kwargs or {}).items()}
        return func(*map(_widened, args), **named)


@contextmanager
def _everywhere() -> Iterator[None]:
    """Also in checkpointed blocks, which run again within a call of `backward`: a mode is off inside a call."""
    run = torch.autograd._engine_run_backward

    def run_in_float64(*args: Any, **kwargs: Any) -> Any:
        with _Float64():
            return run(*args, **kwargs)

    with _Float64(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.autograd, "_engine_run_backward", run_in_float64)
        yield


def _widened(value: Any) -> Any:
    return torch.float64 if value is torch.float32 else value


@contextmanager
def in_float64(bench: VideoBench | ChatBench) -> Iterator[None]:
    """For the length of the block the bench computes in float64 from the encodings that it has, and so do trials on it.

    Its encodings must be there: what is encoded inside the block would be kept in float64.
    """
    networks = _networks(bench)
    before = [{name: value.clone() for name, value in network.state_dict().items()} for network in networks]
    standard = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        _convert(bench, networks, torch.float64)
        with _everywhere():
            yield
    finally:
        torch.set_default_dtype(standard)
        _convert(bench, networks, torch.float32)
    for network, state in zip(networks, before, strict=True):
        assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


def train_in_float64(
    config: TrialConfig, bench: VideoBench | ChatBench, folder: Path, listener: Listener | None = None
) -> TrialPaths:
    """The trial's files below `folder`; they hold float64 too."""
    paths = TrialPaths(folder)
    with in_float64(bench):
        train(config, bench, paths, listener or Listener())
    return paths


def _networks(bench: VideoBench | ChatBench) -> list[torch.nn.Module]:
    return [bench.base] if isinstance(bench, ChatBench) else [bench.family.pipe.vae, *bench.family.modules.values()]


def _convert(bench: VideoBench | ChatBench, networks: Sequence[torch.nn.Module], dtype: torch.dtype) -> None:
    for network in networks:
        network.to(dtype)
    if isinstance(bench, VideoBench):
        assert isinstance(bench.family, CosmosFamily)
        bench.family.dtype = dtype
