"""A loaded tiny:transfer2.5 with clips of demo:shapes-control, and a full training of some seconds on a few of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from posttrain.config import TrialConfig
from posttrain.data import Sample, Splits, prepare
from posttrain.models import clip_of, describe
from posttrain.models.cosmos_transfer25 import CosmosTransfer25
from posttrain.models.noise import Noise
from posttrain.training.video_bench import VideoBench
from posttrain.training.workbench import open_workbench

CHECKPOINT = "tiny:transfer2.5"
EVERYTHING = {"edge": 1.0, "blur": 0.5, "depth": 0.5, "seg": 0.25}


def config(controls: Mapping[str, float] | None) -> TrialConfig:
    return TrialConfig.model_validate(
        {
            "name": "transfer",
            "model": {"checkpoint": CHECKPOINT, "controls": controls},
            "strategy": {"type": "lora", "rank": 4},
            "data": {"sources": {"fixed": {"path": "demo:shapes-control/fixed"}}},
            "training": {"steps": 4, "batch_size": 4, "learning_rate": 1e-3, "precision": "fp32"},
            "evaluation": {
                "every": 4,
                "suites": {"held_out": {"source": "fixed", "samples": 2}},
                "psnr": {"clips": 1, "sampler_steps": 2},
            },
        }
    )


def open_transfer(controls: Mapping[str, float] | None, num_samples: int = 4) -> VideoBench:
    """The base with the first samples of each list, encoded."""
    chosen = config(controls)
    dataset = prepare(chosen, clip_of(chosen.model, describe(CHECKPOINT)), Path())
    splits = Splits(
        {name: samples[:num_samples] for name, samples in dataset.train.items()},
        {name: samples[:2] for name, samples in dataset.suites.items()},
    )
    bench = open_workbench(chosen, splits, Path())
    assert isinstance(bench, VideoBench)
    bench.encode(bench.samples(), lambda done, total: None, lambda: False)
    return bench


@dataclass(frozen=True)
class Few:
    """Encodings of a few samples: latents (N, C, T, h, w), prompts (N, L, D), controls (N, K, C, T, h, w)."""

    latents: torch.Tensor
    prompts: torch.Tensor
    controls: torch.Tensor

    @classmethod
    def read(cls, bench: VideoBench, samples: Sequence[Sample]) -> "Few":
        controls = [bench.store.controls(sample) for sample in samples]
        return cls(
            torch.stack([bench.store.latents(sample) for sample in samples]),
            torch.stack([bench.store.prompt(sample.caption) for sample in samples]),
            torch.stack([control for control in controls if control is not None]),
        )

    def noise(self, generator: torch.Generator, family: CosmosTransfer25) -> Noise:
        num = len(self.latents)
        return Noise(
            family.noise_levels.draw(num, generator),
            torch.randn(self.latents.shape, generator=generator),
            torch.zeros(num, dtype=torch.long),
        )


def overfit(
    family: CosmosTransfer25, few: Few, modules: Sequence[str], *, steps: int, learning_rate: float = 1e-2
) -> float:
    """Trains `modules` on the samples, two draws of each a step; returns the last loss."""
    parameters = [parameter for name in modules for parameter in family.modules[name].parameters()]
    for parameter in parameters:
        parameter.requires_grad_(True)
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, betas=(0.9, 0.99), weight_decay=0.0)
    generator = torch.Generator().manual_seed(0)
    batch = Few(*(value.repeat(2, *[1] * (value.dim() - 1)) for value in (few.latents, few.prompts, few.controls)))
    for step in range(steps):
        rate = min(1.0, (step + 1) / 20) * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        optimizer.param_groups[0]["lr"] = learning_rate * rate
        loss = family.loss(batch.latents, batch.prompts, batch.noise(generator, family), batch.controls).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    for parameter in parameters:
        parameter.requires_grad_(False)
        parameter.grad = None
    return float(loss.detach())


def relative_error(sampled: torch.Tensor, true: torch.Tensor) -> float:
    return float(((sampled - true) ** 2).mean() / true.var())
