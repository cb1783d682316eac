"""Whole weights of a network whose parameters may be shared out between workers (FSDP2), and back."""

from collections.abc import Iterable, Mapping

import torch
import torch.distributed as dist
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict, set_model_state_dict
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor


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


def settle(networks: Iterable[torch.nn.Module]) -> None:
    """Makes shares of weights the truth: FSDP2 keeps some units gathered after a forward pass without a backward one.

    Also waits for the optimizer, which a network that is not called through the Trainer's module would not.
    """
    units = [unit for network in networks for unit in network.modules() if isinstance(unit, FSDPModule)]
    if units and torch.cuda.is_available():
        torch.cuda.synchronize()
    for unit in units:
        unit.reshard()


def whole(parameter: torch.Tensor) -> torch.Tensor:
    """A copy of one weight on the CPU; of a shared one every worker must ask for it."""
    value = parameter.detach()
    return (value.full_tensor() if isinstance(value, DTensor) else value).cpu().clone()
