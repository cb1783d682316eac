"""What all Trainers share: settings that suit a trial, our checkpoint layout, atomic checkpoints."""

import os
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, TrainerCallback

from posttrain.config import TrainingConfig
from posttrain.evaluation.ranks import world
from posttrain.models.base import Trainable
from posttrain.strategies import Strategy
from posttrain.training.checkpoints import Checkpoints


class KeepingTrainer:
    """Goes before `Trainer` or an heir of it: checkpoints are written aside by the strategy, and then renamed."""

    def keep(
        self, strategy: Strategy, model: Trainable, callback: TrainerCallback, checkpoints: Checkpoints | None
    ) -> None:
        """Says what is written and where, before `train`; without `checkpoints` nothing is."""
        trainer: Any = self
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(callback)
        trainer.args._n_gpu = min(trainer.args.n_gpu, 1)  # one process, one GPU: else it would make DataParallel
        self._strategy = strategy
        self._trained = model
        self._checkpoints = checkpoints

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        if self._checkpoints is None:
            return
        above: Any = super()
        trainer: Any = self
        with self._checkpoints.writing(trainer.state.global_step) as staging:
            self._staging = staging
            above._save_checkpoint(model, trial)

    def _get_output_dir(self, trial: Any) -> str:
        trainer: Any = self
        return str(getattr(self, "_staging", trainer.args.output_dir))

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        assert output_dir is not None
        trainer: Any = self
        if trainer.args.should_save:
            self._strategy.save(self._trained, Path(output_dir))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: torch.nn.Module | None = None) -> None:
        self._strategy.load(self._trained, Path(resume_from_checkpoint))


def settings(
    training: TrainingConfig, folder: Path, *, log_every: int, device: torch.device, copies: int = 1
) -> dict[str, Any]:
    """The arguments of `TrainingArguments` and its heirs for one trial; evaluation and stopping are the callback's.

    Args:
        copies: rows that the Trainer counts for each of our samples; GRPO counts every answer to a question.
    """
    num_workers = world()[1]
    micro_batch_size = training.micro_batch_size or training.batch_size // num_workers
    return {
        "output_dir": str(folder),
        "max_steps": training.steps,
        "per_device_train_batch_size": micro_batch_size * copies,
        "gradient_accumulation_steps": training.batch_size // (micro_batch_size * num_workers),
        "learning_rate": training.learning_rate,
        "lr_scheduler_type": {"constant": "constant_with_warmup"}.get(training.schedule, training.schedule),
        "warmup_steps": round(training.warmup * training.steps),
        "weight_decay": training.weight_decay,
        "max_grad_norm": training.max_grad_norm,
        "seed": training.seed,
        "optim": "adamw_torch",
        "train_sampling_strategy": "sequential",  # the order is the draws'
        "logging_steps": log_every,
        "logging_first_step": True,  # of an adapter that starts at zero this is the base's own loss
        "logging_nan_inf_filter": False,  # it would hide a NaN loss behind the mean of the ones before
        "save_strategy": "no",
        "eval_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "use_cpu": device.type == "cpu",
        "ddp_find_unused_parameters": False,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": device.type == "cuda",
        "log_level": "error",
    }


def reset_process_state() -> None:
    """Forgets accelerate's process-wide singletons: a trial in a used slot begins like one in a fresh process."""
    from accelerate.state import AcceleratorState, GradientState

    AcceleratorState._reset_state()
    GradientState._reset_state()
    os.environ.pop("ACCELERATE_MIXED_PRECISION", None)
