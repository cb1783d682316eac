"""`transformers.Trainer` on the loss of a diffusion family."""

from typing import Any

import torch
from transformers import Trainer, TrainingArguments

from posttrain.models.base import Noise, VideoFamily
from posttrain.training.plan import PlanDataset, collate
from posttrain.training.trainer import KeepingTrainer


class LossModule(torch.nn.Module):
    """The networks that train, behind a forward that returns the mean loss of a micro-batch.

    DDP wraps it. FSDP2 shares out each network, and within it each block: the networks must be units of their own, for
    the sampler calls them without this module.
    """

    def __init__(self, family: VideoFamily) -> None:
        super().__init__()
        trained = {name: network for name, network in family.modules.items() if _trains(network)}
        self.networks = torch.nn.ModuleDict(trained)
        self._no_split_modules = sorted({unit for network in trained.values() for unit in _units(network)})
        self._loss = family.loss

    def forward(
        self,
        latents_BCThw: torch.Tensor,
        prompts_BLD: torch.Tensor,
        sigmas_B: torch.Tensor,
        noise_BCThw: torch.Tensor,
        num_condition_B: torch.Tensor,
        controls_BKCThw: torch.Tensor | None = None,
        given_sigmas_B: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        noise = Noise(sigmas_B, noise_BCThw, num_condition_B, given_sigmas_B)
        return {"loss": self._loss(latents_BCThw, prompts_BLD, noise, controls_BKCThw).mean()}


def _trains(network: torch.nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in network.parameters())


def _units(network: torch.nn.Module) -> list[str]:
    """The classes whose instances FSDP2 gathers and frees one at a time."""
    blocks: Any = getattr(network, "_no_split_modules", None)
    return [type(network).__name__, *(blocks or [])]


class DiffusionTrainer(KeepingTrainer, Trainer):  # type: ignore[misc]  # transformers ships no strict types
    """Trains what a strategy attached to a family's networks."""

    def __init__(self, family: VideoFamily, data: PlanDataset, arguments: TrainingArguments) -> None:
        super().__init__(model=LossModule(family), args=arguments, train_dataset=data, data_collator=collate)
