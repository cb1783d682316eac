"""`transformers.Trainer` under a small subclass: the family's loss, our checkpoint layout, atomic checkpoints."""

import os
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from posttrain.config import TrainingConfig
from posttrain.evaluation.ranks import world
from posttrain.models.base import Noise, VideoFamily
from posttrain.strategies import Strategy
from posttrain.training.checkpoints import Checkpoints
from posttrain.training.plan import PlanDataset, collate


class LossModule(torch.nn.Module):
    """The networks behind a forward that returns the mean loss of a micro-batch; what DDP wraps."""

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


class DiffusionTrainer(Trainer):  # type: ignore[misc]  # transformers ships no strict types
    """Trains what a strategy attached; writes checkpoints aside and renames them."""

    def __init__(
        self,
        family: VideoFamily,
        strategy: Strategy,
        data: PlanDataset,
        arguments: TrainingArguments,
        callback: TrainerCallback,
        checkpoints: Checkpoints | None,
    ) -> None:
        super().__init__(
            model=LossModule(family),
            args=arguments,
            train_dataset=data,
            data_collator=collate,
            callbacks=[callback],
        )
        self.remove_callback(PrinterCallback)
        self._strategy = strategy
        self._checkpoints = checkpoints
        self._transformer = family.transformer

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        if self._checkpoints is None:
            return
        with self._checkpoints.writing(self.state.global_step) as staging:
            self._staging = staging
            super()._save_checkpoint(model, trial)

    def _get_output_dir(self, trial: Any) -> str:
        return str(getattr(self, "_staging", self.args.output_dir))

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        assert output_dir is not None
        if self.args.should_save:
            self._strategy.save(self._transformer, Path(output_dir))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: torch.nn.Module | None = None) -> None:
        self._strategy.load(self._transformer, Path(resume_from_checkpoint))


def arguments(training: TrainingConfig, folder: Path, *, log_every: int, device: torch.device) -> TrainingArguments:
    """The Trainer's settings for one trial; evaluation, checkpoints and stopping are the callback's."""
    num_workers = world()[1]
    micro_batch_size = training.micro_batch_size or training.batch_size // num_workers
    settings = TrainingArguments(
        output_dir=str(folder),
        max_steps=training.steps,
        per_device_train_batch_size=micro_batch_size,
        gradient_accumulation_steps=training.batch_size // (micro_batch_size * num_workers),
        learning_rate=training.learning_rate,
        lr_scheduler_type={"constant": "constant_with_warmup"}.get(training.schedule, training.schedule),
        warmup_steps=round(training.warmup * training.steps),
        weight_decay=training.weight_decay,
        max_grad_norm=training.max_grad_norm,
        seed=training.seed,
        optim="adamw_torch",
        train_sampling_strategy="sequential",  # the order is the plan's
        logging_steps=log_every,
        logging_first_step=True,  # of an adapter that starts at zero this is the base's own loss
        logging_nan_inf_filter=False,  # it would hide a NaN loss behind the mean of the ones before
        save_strategy="no",
        eval_strategy="no",
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        use_cpu=device.type == "cpu",
        ddp_find_unused_parameters=False,
        dataloader_num_workers=0,
        dataloader_pin_memory=device.type == "cuda",
        log_level="error",
    )
    settings._n_gpu = min(settings.n_gpu, 1)  # one process, one GPU: the Trainer makes DataParallel of several
    return settings


def reset_process_state() -> None:
    """Forgets accelerate's process-wide singletons: a trial in a used slot begins like one in a fresh process."""
    from accelerate.state import AcceleratorState, GradientState

    AcceleratorState._reset_state()
    GradientState._reset_state()
    os.environ.pop("ACCELERATE_MIXED_PRECISION", None)
