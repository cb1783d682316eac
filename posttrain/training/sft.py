"""TRL's `SFTTrainer` on our own order and our own batches: true answers are learned by example.

The loss of an optimizer step is the mean over the supervised tokens of its whole batch, however it is cut into
micro-batches and workers (`num_items_in_batch` of the Trainer), so accumulated and shared batches are the same batch.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch.distributed.fsdp import FSDPModule
from trl import SFTConfig, SFTTrainer

from posttrain.config import TrainingConfig
from posttrain.models.vlm import VisionLanguageModel
from posttrain.models.vlm_rows import supervised_share
from posttrain.training.draws import Draws
from posttrain.training.trainer import KeepingTrainer, settings


class SupervisedTrainer(KeepingTrainer, SFTTrainer):  # type: ignore[misc]  # TRL ships no strict types
    """Trains what a strategy attached to a vision-language model; item i of its data is the i-th draw."""

    own_curves = {  # noqa: RUF012 - never changed
        "mean_token_accuracy": "train/token_accuracy",
        "supervised_share": "train/supervised_share",
    }

    def __init__(self, chat: VisionLanguageModel, draws: Draws, arguments: SFTConfig) -> None:
        self._chat = chat
        self._draws = draws
        self._forward = chat.model.__dict__.get("forward")  # a strategy's own, if it has one
        arguments._n_gpu = min(arguments.n_gpu, 1)  # one process, one GPU: TRL refuses several before `keep` is called
        super().__init__(
            model=chat.model,
            args=arguments,
            train_dataset=Dataset.from_dict({"position": range(len(draws))}),  # TRL takes no other kind
            data_collator=self._collate,
            processing_class=chat.processor,
        )
        # The models' classes say that their own loss does not (`accepts_loss_kwargs`). It is TRL's that is used, which
        # without the number of tokens is the mean over micro-batches and workers, whatever their answers' lengths.
        self.model_accepts_loss_kwargs = True
        if self.is_fsdp_enabled:
            self.model.register_forward_pre_hook(_gather_head)

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """TRL's own, with the share of tokens that it is over beside the metrics."""
        self._metrics["train"]["supervised_share"].append(supervised_share(inputs))
        return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Writes none: TRL would put one into the trial's folder at every checkpoint."""

    def _collate(self, items: Sequence[dict[str, int]]) -> dict[str, torch.Tensor]:
        return self._chat.collate([self._draws.sample(item["position"]) for item in items])


def _gather_head(model: Any, _: Any) -> None:
    """TRL's loss reads the weight of the head beside its forward pass.

    As a share of FSDP2 it would be gathered by `full_tensor`, whose backward pass keeps this worker's gradient alone
    (trl 1.16, `add_fused_lm_head`).
    """
    head = model.get_output_embeddings()
    if isinstance(head, FSDPModule):
        head.unshard()


def sft_arguments(
    training: TrainingConfig, folder: Path, *, log_every: int, device: torch.device, parallel: str = "ddp"
) -> SFTConfig:
    """The settings of one trial, with TRL's own defaults put right for models that see."""
    chosen = settings(training, folder, log_every=log_every, device=device, parallel=parallel)
    chosen |= {
        # TRL's loss goes past the forward method that a strategy may have put under autocast
        "bf16": training.precision == "bf16",
        "activation_checkpointing": False,  # the trial switches it itself
        "max_length": None,  # a cut row would lose its answer; too long ones are refused by name
        "packing": False,
        "dataset_kwargs": {"skip_prepare_dataset": True},
        # a micro-batch without a picture leaves the vision tower without gradients
        "ddp_find_unused_parameters": True,
    }
    return SFTConfig(**chosen)
