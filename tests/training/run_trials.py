"""Trials in processes that are forked off one which has imported everything and loaded the bases, but trained nothing.

Usage: run_trials.py ORDERS.json FOLDER. The file lists trials: a name, changes to the configuration by dotted path,
the step to be interrupted at, whether to compute in float64, and whether the trial is the only one of its process. The
others are carried out by two gloo workers, one after the other; rank 0 writes.
"""

import gc
import json
import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from posttrain.errors import EnvironmentFault
from posttrain.overfit.gate import gate
from posttrain.paths import TrialPaths
from posttrain.training.train import train
from posttrain.training.video_bench import VideoBench
from tests.float64 import in_float64
from tests.look import Look
from tests.tiny_trial import Listener, open_bench, trial_config
from tests.training.group import environment_of

Order = Mapping[str, Any]
Benches = Mapping[str, VideoBench]


def main(orders_file: Path, folder: Path) -> None:
    torch.set_num_threads(1)
    orders = json.loads(orders_file.read_text())
    benches = open_benches(orders)
    gc.freeze()
    for order in orders:
        if order["alone"]:
            in_processes([partial(begin_with, order, benches, folder)])
    group = [order for order in orders if not order["alone"]]
    environments = environment_of(2)
    in_processes([partial(work_as, environments[rank], group, benches, folder) for rank in range(2)])


def open_benches(orders: Sequence[Order]) -> Benches:
    """A bench for each precision."""
    benches: dict[str, VideoBench] = {}
    for order in orders:
        config = trial_config(order["changes"])
        if config.training.precision not in benches:
            benches[config.training.precision] = open_bench(config)
    return benches


def in_processes(works: Sequence[Callable[[], None]]) -> None:
    """Forks a process for each work; if one fails, none of the others has to wait for it."""
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=work, daemon=True) for work in works]
    for process in processes:
        process.start()
    while running := [process for process in processes if process.exitcode is None]:
        wait([process.sentinel for process in running])
        if any(process.exitcode for process in processes):
            sys.exit("a worker failed")


def begin_with(order: Order, benches: Benches, folder: Path) -> None:
    config = trial_config(order["changes"])
    train(config, benches[config.training.precision], TrialPaths(folder / order["name"]), Listener())


def work_as(environment: Mapping[str, str], orders: Sequence[Order], benches: Benches, folder: Path) -> None:
    """What a worker prints lies in `output-<rank>.txt`."""
    os.environ.update(environment)
    with (folder / f"output-{environment['RANK']}.txt").open("w") as output:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(output.fileno(), stream.fileno())
    dist.init_process_group("gloo")
    looks = {precision: Look(bench.family.transformer) for precision, bench in benches.items()}
    for order in orders:
        config = trial_config(order["changes"])
        carry_out(order, benches[config.training.precision], folder)
    unchanged = all(Look(bench.family.transformer) == looks[precision] for precision, bench in benches.items())
    print("base unchanged" if unchanged else "base changed", flush=True)
    dist.destroy_process_group()


def carry_out(order: Order, bench: VideoBench, folder: Path) -> None:
    config, rank = trial_config(order["changes"]), dist.get_rank()
    if order["name"].startswith("gate"):
        (folder / f"{order['name']}-{rank}.json").write_text(json.dumps(gate(config, bench).to_dict()))
        return
    paths = TrialPaths(folder / order["name"])
    if order["name"] == "refused" and rank == 0:
        paths.root.mkdir()
        paths.checkpoints.touch()  # a file where a folder must be: rank 0 cannot write, rank 1 has nothing to write
    # rank 0 alone is listened to
    listener = Listener(interrupt_at=order["interrupt_at"] if rank == 0 else None)
    try:
        with in_float64(bench) if order["float64"] else nullcontext():
            outcome = train(config, bench, paths, listener)
        print(order["name"], outcome.status, outcome.steps, flush=True)
    except EnvironmentFault as fault:
        print(order["name"], "fault", fault, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
