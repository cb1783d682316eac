"""`transformers.Trainer` on the loss of a diffusion family."""

import torch
from transformers import Trainer, TrainingArguments

from posttrain.models.base import Noise, VideoFamily
from posttrain.training.plan import PlanDataset, collate
from posttrain.training.trainer import KeepingTrainer


class LossModule(torch.nn.Module):
    """The family's networks behind a forward that returns the mean loss of a micro-batch; what DDP wraps."""

    def __init__(self, family: VideoFamily) -> None:
        super().__init__()
        self.networks = torch.nn.ModuleDict(dict(family.modules))
        self._loss = family.loss

    def forward(
        self,
        latents_BCThw: torch.Tensor,
        prompts_BLD: torch.Tensor,
        sigmas_B: torch.Tensor,
        noise_BCThw: torch.Tensor,
        num_condition_B: torch.Tensor,
        controls_BKCThw: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        noise = Noise(sigmas_B, noise_BCThw, num_condition_B)
        return {"loss": self._loss(latents_BCThw, prompts_BLD, noise, controls_BKCThw).mean()}


class DiffusionTrainer(KeepingTrainer, Trainer):  # type: ignore[misc]  # transformers ships no strict types
    """Trains what a strategy attached to a family's networks."""

    def __init__(self, family: VideoFamily, data: PlanDataset, arguments: TrainingArguments) -> None:
        super().__init__(model=LossModule(family), args=arguments, train_dataset=data, data_collator=collate)
