"""The worker group of a slot: one long Ray Train run, without the helpers that a slot does not need.

`GroupTrainer` is Ray Train's data-parallel trainer with four differences, for memory, start-up time and cleanliness:

- Its controller runs in the slot's own process. As an actor it would be one more process, which starts and imports Ray
  Train for two seconds before the workers can start.
- Its process group is set up by `ProcessGroup`, so that only the workers import torch. `ray.train.torch` would import
  it in the slot too (180 MB and two seconds). A group of one worker gets none at all.
- The callbacks for Ray Data and for the detached placement-group cleaner are left out. The cleaner is a detached actor,
  which outlives a killed driver; `posttrain.sweep.reaper` does its work from the driver.
- It asks no autoscaling coordinator, which is one more detached actor. A cluster that scales sees the placement group.

What is overridden here is private to Ray Train; `ray` is pinned for that in pyproject.toml.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import ray
from ray import train
from ray.train.backend import Backend, BackendConfig
from ray.train.v2._internal.callbacks.datasets import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.execution.controller.controller import TrainController
from ray.train.v2._internal.execution.failure_handling import create_failure_policy
from ray.train.v2._internal.execution.scaling_policy.fixed import FixedScalingPolicy
from ray.train.v2._internal.util import ObjectRefWrapper
from ray.train.v2.api.callback import UserCallback
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

from posttrain.sweep.plan import GroupSize

COLLECTIVE_TIMEOUT_S = 1800


class _ProcessGroupBackend(Backend):  # type: ignore[misc]  # ray ships no usable types
    share_cuda_visible_devices = True

    def on_start(self, worker_group: Any, backend_config: ProcessGroup) -> None:
        size = len(worker_group)
        if size == 1:
            return
        address = worker_group.execute_single(0, _rendezvous)
        ray.get(
            [
                worker_group.execute_single_async(rank, _join, address, rank, size, backend_config.backend)
                for rank in range(size)
            ]
        )


@dataclass
class ProcessGroup(BackendConfig):  # type: ignore[misc]  # ray ships no usable types
    """Sets up torch.distributed in the workers: `nccl` on GPUs, `gloo` on CPUs."""

    backend: str = "gloo"

    @property
    def backend_cls(self) -> type[_ProcessGroupBackend]:
        return _ProcessGroupBackend


def _rendezvous() -> tuple[str, int]:
    import socket

    with socket.socket() as probe:
        probe.bind(("", 0))
        return ray.util.get_node_ip_address(), probe.getsockname()[1]


def _join(address: tuple[str, int], rank: int, size: int, backend: str) -> None:
    """Runs in a worker: the environment of torchrun, then the process group."""
    from torch import distributed

    context = train.get_context()
    os.environ.update(
        MASTER_ADDR=address[0],
        MASTER_PORT=str(address[1]),
        RANK=str(rank),
        WORLD_SIZE=str(size),
        LOCAL_RANK=str(context.get_local_rank()),
        LOCAL_WORLD_SIZE=str(context.get_local_world_size()),
    )
    if backend == "nccl":
        _set_device()
    distributed.init_process_group(backend, rank=rank, world_size=size, timeout=timedelta(seconds=COLLECTIVE_TIMEOUT_S))


def _set_device() -> None:
    import torch

    # All GPUs of the group on this node are visible to each of its workers. accelerate goes by the local rank too.
    torch.cuda.set_device(train.get_context().get_local_rank())


class _TellFaults(UserCallback):  # type: ignore[misc]  # ray ships no usable types
    """Runs in the controller: leaves the cause of a broken worker group at the slot's desk."""

    def __init__(self, mailbox: Any, slot: str) -> None:
        self._mailbox = mailbox
        self._slot = slot

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        rank, error = next(iter(worker_exceptions.items()))
        text = str(error).strip().splitlines()
        self._mailbox.fault.remote(self._slot, f"worker {rank}: {text[0] if text else type(error).__name__}")


class _FixedSize(FixedScalingPolicy):  # type: ignore[misc]  # ray ships no usable types
    def after_controller_start(self, train_run_context: Any) -> None:
        """Nothing to register: there is no coordinator."""

    def _maybe_send_resource_request(self) -> None:
        """Nothing to send either."""


class GroupTrainer(DataParallelTrainer):  # type: ignore[misc]  # ray ships no usable types
    """See the module's docstring."""

    def fit(self) -> Any:
        controller = TrainController(
            train_fn_ref=ObjectRefWrapper(self._get_train_func()),
            scaling_policy=_FixedSize(self.scaling_config),
            failure_policy=create_failure_policy(self.run_config.failure_config),
            train_run_context=self.train_run_context,
            callbacks=self._create_default_callbacks(),
            validation_config=None,
        )
        asyncio.run(controller.run())
        result = controller.get_result()
        if result.error:
            raise result.error
        return result

    def _create_default_callbacks(self) -> list[Any]:
        unwanted = (DatasetsCallback, PlacementGroupCleanerCallback)
        return [each for each in super()._create_default_callbacks() if not isinstance(each, unwanted)]


def group_trainer(loop: Callable[[], None], size: GroupSize, *, mailbox: Any, slot: str, storage: str) -> GroupTrainer:
    """The Ray Train run of one slot; `fit()` blocks until the workers' loop returns."""
    threads = str(size.threads)
    return GroupTrainer(
        loop,
        backend_config=ProcessGroup(backend="nccl" if size.gpus_per_worker else "gloo"),
        scaling_config=train.ScalingConfig(
            num_workers=size.workers,
            use_gpu=bool(size.gpus_per_worker),
            resources_per_worker=size.bundle(),
        ),
        run_config=train.RunConfig(
            name=slot,
            storage_path=storage,
            failure_config=train.FailureConfig(max_failures=-1),  # the slot counts: a trial fails, a slot lives on
            callbacks=[_TellFaults(mailbox, slot)],
            worker_runtime_env={"env_vars": {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}},
            logging_config=train.LoggingConfig(log_level="ERROR"),
        ),
    )
