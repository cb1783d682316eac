"""How many slots a cluster can hold, and a clear fault when it cannot hold one.

Slots are counted by packing whole worker groups onto the nodes that are alive, so that two slots never wait for
each other's half of the resources. CPU slots are bounded by memory too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from posttrain.errors import EnvironmentFault
from posttrain.sweep.plan import GroupSize

MEMORY_PER_CPU_WORKER = 1_500_000_000
"""Bytes a worker on CPU is reckoned with: torch and the training libraries, measured 0.5-1.2 GB, and a small model."""

Resources = Mapping[str, float]


def choose_slots(requested: int | Literal["auto"], size: GroupSize, nodes: Sequence[Resources], wanted: int) -> int:
    """The number of slots: what fits for `auto` (`wanted` at most, one per trial), else exactly what was requested.

    Raises EnvironmentFault when not even one slot, or not the requested number, can ever fit.
    """
    fitting = count_slots(size, nodes)
    if fitting == 0:
        raise EnvironmentFault(
            f"resources: one slot needs {describe_need(size)}; the cluster has {describe_nodes(nodes)}. "
            "Lower resources.workers, cpus_per_worker or gpus_per_worker, or add nodes"
        )
    if requested == "auto":
        return max(1, min(fitting, wanted))
    if requested > fitting:
        raise EnvironmentFault(
            f"resources.slots: {requested} slots were asked for and {fitting} fit; one needs {describe_need(size)}, "
            f"the cluster has {describe_nodes(nodes)}. Set resources.slots to auto or {fitting}"
        )
    return requested


def count_slots(size: GroupSize, nodes: Sequence[Resources]) -> int:
    """How many whole worker groups can be packed onto the nodes, each group onto as few of them as Ray would."""
    workers = sum(_workers_on(size, node) for node in nodes)
    return workers // size.workers


def _workers_on(size: GroupSize, node: Resources) -> int:
    # Ray counts in ten-thousandths; floats such as 0.1 * 3 must not lose a worker.
    by = [(node.get("CPU", 0.0) + 1e-6) // size.cpus_per_worker]
    if size.gpus_per_worker:
        by.append((node.get("GPU", 0.0) + 1e-6) // size.gpus_per_worker)
    else:
        by.append(node.get("memory", float("inf")) // MEMORY_PER_CPU_WORKER)
    return int(min(by))


def describe_need(size: GroupSize) -> str:
    """In words: what one slot takes."""
    each = f"{size.cpus_per_worker:g} CPU"
    each += f" and {size.gpus_per_worker:g} GPU" if size.gpus_per_worker else " and 1.5 GB of memory"
    return f"{size.workers} worker{'s' if size.workers > 1 else ''} with {each}" + (" each" if size.workers > 1 else "")


def describe_nodes(nodes: Sequence[Resources]) -> str:
    """In words: what the nodes have."""
    if not nodes:
        return "no node"
    shown = [
        f"{node.get('CPU', 0):g} CPU, {node.get('GPU', 0):g} GPU, {node.get('memory', 0) / 1e9:.1f} GB"
        for node in nodes[:8]
    ]
    more = f" and {len(nodes) - 8} more" if len(nodes) > 8 else ""
    return f"{len(nodes)} node{'s' if len(nodes) > 1 else ''} ({'; '.join(shown)}{more})"
