"""What all Trainers share: settings that suit a trial, our checkpoint layout, atomic checkpoints.

A checkpoint is whole whatever the number of workers that write it and whether they share weights and optimizer out
(FSDP2): any number of workers can resume from it, each with its share.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from posttrain.config import TrainingConfig
from posttrain.evaluation.ranks import world
from posttrain.models.base import Trainable
from posttrain.strategies import Strategy
from posttrain.training.checkpoints import Checkpoints
from posttrain.training.sharding import gather_in, optimizer_state, set_optimizer_state, use_fsdp2

# What every Trainer logs -> the name of its curve.
COMMON_CURVES = {"loss": "train/loss", "grad_norm": "train/grad_norm", "learning_rate": "train/learning_rate"}
_OPTIMIZER = "optimizer.pt"
_SCHEDULE = "scheduler.pt"


class LogReader(TrainerCallback):  # type: ignore[misc]  # transformers ships no strict types
    """A callback that knows which of its Trainer's logs are which curves."""

    curve_names: Mapping[str, str] = COMMON_CURVES

    def curves(self, logs: Mapping[str, float | None]) -> dict[str, float]:
        """The logged numbers by the name of their curve."""
        found = {name: logs.get(key) for key, name in self.curve_names.items()}
        return {name: float(value) for name, value in found.items() if value is not None}


class KeepingTrainer:
    """Goes before `Trainer` or an heir of it: checkpoints are written aside by the strategy, and then renamed.

    Attributes:
        own_curves: what this kind logs besides `COMMON_CURVES` -> the name of its curve.
    """

    own_curves: Mapping[str, str] = {}

    def keep(
        self,
        strategy: Strategy,
        model: Trainable,
        callback: LogReader,
        checkpoints: Checkpoints | None,
        factor: Callable[[int], float] = lambda step: 1.0,
    ) -> None:
        """Says what is written and where, before `train`; without `checkpoints` nothing is.

        Args:
            factor: optimizer steps done -> what the next step's learning rate is multiplied by.
        """
        trainer: Any = self
        callback.curve_names = {**COMMON_CURVES, **self.own_curves}
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(_TellStrategy(strategy, model))  # before the callback that measures
        trainer.add_callback(callback)
        trainer.args._n_gpu = min(trainer.args.n_gpu, 1)  # one process, one GPU: else it would make DataParallel
        if trainer.is_fsdp_enabled:
            gather_in(trainer, strategy.computes_in)
        self._strategy = strategy
        self._trained = model
        self._checkpoints = checkpoints
        self._factor = factor

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

    def create_accelerator_and_postprocess(self) -> None:
        above: Any = super()
        above.create_accelerator_and_postprocess()
        trainer: Any = self
        if trainer.args.fsdp:
            use_fsdp2(trainer)

    def create_scheduler(self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None) -> Any:
        """The library's schedule, multiplied by the factor of each step's stage."""
        above: Any = super()
        scheduler: Any = above.create_scheduler(num_training_steps, optimizer)
        assert isinstance(scheduler, torch.optim.lr_scheduler.LambdaLR), "all schedules of TrainingConfig are"
        scheduler.lr_lambdas = [_times(own, self._factor) for own in scheduler.lr_lambdas]
        for group, base, own in zip(
            scheduler.optimizer.param_groups, scheduler.base_lrs, scheduler.lr_lambdas, strict=True
        ):
            group["lr"] = base * own(scheduler.last_epoch)  # the first step's, which the schedule has set already
        scheduler._last_lr = [group["lr"] for group in scheduler.optimizer.param_groups]
        return scheduler

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        assert output_dir is not None
        self._strategy.save(self._trained, Path(output_dir))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: torch.nn.Module | None = None) -> None:
        self._strategy.load(self._trained, Path(resume_from_checkpoint))

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        trainer: Any = self
        state = optimizer_state(trainer.model, trainer.optimizer)
        if trainer.args.should_save:
            torch.save(state, Path(output_dir) / _OPTIMIZER)
            torch.save(trainer.lr_scheduler.state_dict(), Path(output_dir) / _SCHEDULE)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        trainer: Any = self
        state = torch.load(Path(checkpoint) / _OPTIMIZER, map_location="cpu", weights_only=True)
        set_optimizer_state(trainer.model, trainer.optimizer, state)
        trainer.lr_scheduler.load_state_dict(torch.load(Path(checkpoint) / _SCHEDULE, weights_only=True))


def _times(own: Callable[[int], float], factor: Callable[[int], float]) -> Callable[[int], float]:
    return lambda step: own(step) * factor(step)


class _TellStrategy(TrainerCallback):  # type: ignore[misc]  # transformers ships no strict types
    """Tells a strategy of each optimizer step."""

    def __init__(self, strategy: Strategy, model: Trainable) -> None:
        self._strategy = strategy
        self._model = model

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        self._strategy.stepped(self._model)
        return control


def settings(
    training: TrainingConfig,
    folder: Path,
    *,
    log_every: int,
    device: torch.device,
    copies: int = 1,
    parallel: str = "ddp",
) -> dict[str, Any]:
    """The arguments of `TrainingArguments` and its heirs for one trial; evaluation and stopping are the callback's.

    Args:
        copies: rows that the Trainer counts for each of our samples; GRPO counts every answer to a question.
        parallel: `resources.parallel`; one worker has nothing to share out.
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
        "fsdp": parallel == "fsdp" and num_workers > 1,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": device.type == "cuda",
        "log_level": "error",
        "log_level_replica": "error",
    }


def reset_process_state() -> None:
    """Forgets accelerate's process-wide singletons: a trial in a used slot begins like one in a fresh process."""
    from accelerate.state import AcceleratorState, GradientState

    AcceleratorState._reset_state()
    GradientState._reset_state()
    for name in ("ACCELERATE_MIXED_PRECISION", "ACCELERATE_USE_FSDP", "FSDP_CPU_RAM_EFFICIENT_LOADING"):
        os.environ.pop(name, None)
