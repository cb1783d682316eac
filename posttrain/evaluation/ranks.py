"""Sharing an evaluation between the workers of one trial, with the same result for any number of them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")


def world() -> tuple[int, int]:
    """(rank, number of workers); (0, 1) outside a process group."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def own_share(num_items: int) -> range:
    """The positions this worker computes: every n-th, so that the workers finish together."""
    rank, num_workers = world()
    return range(rank, num_items, num_workers)


def turns(num_items: int) -> Iterator[tuple[int, bool]]:
    """`own_share` for work in which the workers wait for each other, as under FSDP2: all take the same number of turns.

    Yields a position, and whether its result counts; who has no position left repeats the last one.
    """
    rank, num_workers = world()
    for first in range(0, num_items, num_workers):
        yield min(first + rank, num_items - 1), first + rank < num_items


def gather(values_N: torch.Tensor) -> torch.Tensor:
    """Fills in what the other workers computed; entries that are not one's own must be zero."""
    if world()[1] > 1:
        dist.all_reduce(values_N)
    return values_N


def shared_items(own: Mapping[int, T], num_items: int) -> list[T]:
    """What all workers found, in its order, on every rank; `own` is this worker's part, by position."""
    found = merged(own)
    return [found[position] for position in range(num_items)]


def merged(own: Mapping[int, T]) -> dict[int, T]:
    """What all workers found, on every rank, by position."""
    parts: list[Any] = [own]
    if world()[1] > 1:
        parts = [None] * world()[1]
        dist.all_gather_object(parts, dict(own))
    return {position: item for part in parts for position, item in part.items()}


def agree(decision: bool, device: torch.device) -> bool:
    """Rank 0's answer, on every rank."""
    if world()[1] == 1:
        return decision
    flag = torch.tensor([int(decision)], device=device)
    dist.broadcast(flag, src=0)
    return bool(flag.item())


def shared(value: T) -> T:
    """Rank 0's value, on every rank; anything that pickles."""
    if world()[1] == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values, src=0)
    return values[0]


@contextmanager
def together() -> Iterator[None]:
    """A step that all workers take or none: what one raises the others raise too, instead of waiting for it."""
    failure: Exception | None = None
    try:
        yield
    except Exception as error:  # noqa: BLE001 - raised again below, on every rank
        failure = error
    num_workers = world()[1]
    if num_workers > 1:
        failures: list[Exception | None] = [None] * num_workers
        dist.all_gather_object(failures, failure)
        failure = failure or next((other for other in failures if other is not None), None)
    if failure is not None:
        raise failure
