"""Whole weights of a network whose parameters may be shared out between workers (FSDP2), and back."""

from collections.abc import Mapping

import torch
import torch.distributed as dist
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict, set_model_state_dict


def writes() -> bool:
    """Whether this worker is the one that writes files."""
    return not dist.is_initialized() or dist.get_rank() == 0


def full_state(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Every weight by its name, on the CPU of rank 0; empty on the others, which must call it too."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    state: dict[str, torch.Tensor] = get_model_state_dict(network, options=options)  # type: ignore[assignment]
    return state


def set_full_state(network: torch.nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """Puts whole weights into a network, of which each worker keeps its share."""
    set_model_state_dict(network, dict(state), options=StateDictOptions(full_state_dict=True, strict=True))


def is_sharded(network: torch.nn.Module) -> bool:
    """Whether FSDP2 shares this network out."""
    from torch.distributed.fsdp import FSDPModule

    return isinstance(network, FSDPModule)


def whole(parameter: torch.Tensor) -> torch.Tensor:
    """A copy of one weight on the CPU; of a shared one every worker must ask for it."""
    from torch.distributed.tensor import DTensor

    value = parameter.detach()
    return (value.full_tensor() if isinstance(value, DTensor) else value).cpu().clone()
