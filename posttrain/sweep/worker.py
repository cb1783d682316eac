"""What runs in every worker process of a slot: take a job, run it, hand back its outcome, until told to end.

The loop is the training function of the slot's one long Ray Train run. It never raises for a job's sake: an
exception inside a job is that job's outcome, and the process stays warm for the next one. Rank 0 alone talks to the
search; what the ranks must agree on (the group's number, the decision after a report, whether to stop) goes from
rank 0 to the others as one small broadcast, which a group of one worker skips.
"""

from __future__ import annotations

import gc
import secrets
import traceback
from collections.abc import Mapping
from typing import Any

from posttrain.errors import PosttrainError
from posttrain.sweep.protocol import Job, JobFunction, Outcome, Report

_GO_ON = ""


class WorkerLink:
    """The `Link` of a real worker, through the mailbox actor."""

    def __init__(self, desk: Desk, job: Job, serial: int) -> None:
        self._desk = desk
        self._job = job
        self._serial = serial
        self._watch: Any = desk.call("watch", serial) if desk.rank == 0 else None
        self._stopped = False

    @property
    def rank(self) -> int:
        return self._desk.rank

    @property
    def world_size(self) -> int:
        return self._desk.world_size

    def report(self, step: int, values: Mapping[str, float]) -> str | None:
        reason = _GO_ON
        if self.rank == 0:
            plain = {name: float(value) for name, value in values.items()}
            reason = self._desk.get("report", self._serial, Report(int(step), plain)) or _GO_ON
        reason = self._desk.agree(reason)
        self._stopped = self._stopped or bool(reason)
        return reason or None

    def should_stop(self) -> bool:
        if self._stopped:
            return True
        asked = self.rank == 0 and self._desk.ready(self._watch)
        self._stopped = self._desk.agree_flag(asked)
        return self._stopped

    def note(self, event: Mapping[str, Any]) -> None:
        if self.rank == 0:
            self._desk.tell("note", self._job.id, dict(event))


class Desk:
    """This worker's place at its slot's desk: the mailbox, the slot's name, the group's number, rank and world size."""

    def __init__(self, mailbox: Any, slot: str, rank: int, world_size: int) -> None:
        self._mailbox = mailbox
        self._slot = slot
        self.rank = rank
        self.world_size = world_size
        self._group = self._agree_group()

    def call(self, method: str, *arguments: Any) -> Any:
        return getattr(self._mailbox, method).remote(self._slot, self._group, *arguments)

    def get(self, method: str, *arguments: Any) -> Any:
        import ray

        return ray.get(self.call(method, *arguments))

    def tell(self, method: str, *arguments: Any) -> None:
        getattr(self._mailbox, method).remote(*arguments)

    @staticmethod
    def ready(reference: Any) -> bool:
        import ray

        return bool(ray.wait([reference], timeout=0)[0])

    def agree(self, text: str) -> str:
        """Rank 0's text, on every rank."""
        if self.world_size == 1:
            return text
        from torch import distributed

        box = [text]
        distributed.broadcast_object_list(box, src=0, device=_broadcast_device())
        return box[0]

    def agree_flag(self, flag: bool) -> bool:
        """Rank 0's flag, on every rank: one byte, since it is asked every step."""
        if self.world_size == 1:
            return flag
        import torch

        cell = torch.tensor([int(flag)], dtype=torch.uint8, device=_broadcast_device())
        torch.distributed.broadcast(cell, src=0)
        return bool(cell.item())

    def _agree_group(self) -> int:
        self._group = 0
        return int(self.agree(str(secrets.randbits(62) + 1)))


def _broadcast_device() -> Any:
    import torch
    from torch import distributed

    return torch.device("cuda" if distributed.get_backend() == "nccl" else "cpu")


def worker_loop(mailbox: Any, slot: str, job_function: bytes, threads: int) -> None:
    """Take jobs for `slot` until it ends. `job_function` is pickled: only the workers import what it needs."""
    import ray
    import torch
    from ray import train

    torch.set_num_threads(threads)
    context = train.get_context()
    desk = Desk(mailbox, slot, context.get_world_rank(), context.get_world_size())
    node = ray.util.get_node_ip_address()
    if desk.rank == 0:
        desk.get("announce", node)
    serial = 0
    while True:
        taken = desk.get("take", serial)
        if taken is None:
            return
        serial, job = taken
        outcome = _run(job_function, job, WorkerLink(desk, job, serial), node)
        if desk.rank == 0:
            desk.get("finish", serial, outcome)
        gc.collect()  # a trial's model must not live on under the next one


def _run(job_function: bytes, job: Job, link: WorkerLink, node: str) -> Outcome:
    try:
        function: JobFunction = _load(job_function)
        return Outcome(job, result=dict(function(job, link)), node=node)
    except PosttrainError as error:  # made for people: it needs no class name in front
        return Outcome(job, error=str(error), traceback=traceback.format_exc(), node=node)
    except Exception as error:  # noqa: BLE001 the trial boundary: the cause becomes the trial's outcome
        return Outcome(job, error=f"{type(error).__name__}: {error}", traceback=traceback.format_exc(), node=node)


def _load(job_function: bytes) -> JobFunction:
    from ray import cloudpickle

    function: JobFunction = cloudpickle.loads(job_function)
    return function
