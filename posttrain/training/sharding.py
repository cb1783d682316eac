"""FSDP2 under accelerate, and an optimizer's state in the one form that every number of workers reads."""

import warnings
from typing import Any

import torch
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.fsdp import MixedPrecisionPolicy


def use_fsdp2(trainer: Any) -> None:
    """Settles what `TrainingArguments` cannot say of FSDP2, as soon as the Trainer has its accelerator.

    accelerate knows FSDP2 on accelerators alone, while torch's works over gloo too.
    """
    plugin = FullyShardedDataParallelPlugin(**trainer.args.fsdp_plugin_args)
    trainer.accelerator.state.fsdp_plugin = plugin
    trainer.accelerator.state.distributed_type = DistributedType.FSDP
    trainer.is_fsdp_enabled = True
    # neither the losses nor the samplers write into what a network returns
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")


def gather_in(trainer: Any, dtype: torch.dtype | None) -> None:
    """Sends float32 weights to the workers in the precision that they compute in; gradients are summed in float32.

    Inputs keep their own: cast to bf16 at the door of each unit, a timestep would lose its digits. The strategy's
    autocast takes care of what meets the weights.
    """
    reduce_dtype = torch.float32 if dtype else None
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=reduce_dtype, cast_forward_inputs=False)
    trainer.accelerator.state.fsdp_plugin.mixed_precision_policy = policy


def optimizer_state(model: torch.nn.Module, optimizer: Any) -> dict[str, Any]:
    """The whole state by the names of the parameters, on the CPU of rank 0; every worker must call it."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    return dict(get_optimizer_state_dict(model, optimizer.optimizer, options=options))


def set_optimizer_state(model: torch.nn.Module, optimizer: Any, state: dict[str, Any]) -> None:
    """Puts a state of `optimizer_state` into an optimizer that has not stepped, each worker its share."""
    options = StateDictOptions(full_state_dict=True)
    set_optimizer_state_dict(model, optimizer.optimizer, state, options=options)
