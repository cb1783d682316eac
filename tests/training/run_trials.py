"""Trials in processes that are forked off one which has imported everything and loaded the bases, but trained nothing.

Usage: run_trials.py ORDERS.json FOLDER. The file lists trials: a name, changes to the configuration by dotted path,
the step to be interrupted at, whether to compute in float64, and whether the trial is the only one of its process. The
others are carried out by two gloo workers, one after the other; rank 0 writes.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
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
from tests.training.group import in_group, in_processes

Order = Mapping[str, Any]
Benches = Mapping[str, VideoBench]


def main(orders_file: Path, folder: Path) -> None:
    torch.set_num_threads(1)
    orders = json.loads(orders_file.read_text())
    benches = open_benches(orders)
    for order in orders:
        if order["alone"]:
            in_processes([partial(begin_with, order, benches, folder)])
    group = [order for order in orders if not order["alone"]]
    in_group(partial(work, group, benches, folder), folder)


def open_benches(orders: Sequence[Order]) -> Benches:
    """A bench for each precision."""
    benches: dict[str, VideoBench] = {}
    for order in orders:
        config = trial_config(order["changes"])
        if config.training.precision not in benches:
            benches[config.training.precision] = open_bench(config)
    return benches


def begin_with(order: Order, benches: Benches, folder: Path) -> None:
    config = trial_config(order["changes"])
    train(config, benches[config.training.precision], TrialPaths(folder / order["name"]), Listener())


def work(orders: Sequence[Order], benches: Benches, folder: Path) -> None:
    looks = {precision: Look(bench.family.transformer) for precision, bench in benches.items()}
    for order in orders:
        config = trial_config(order["changes"])
        carry_out(order, benches[config.training.precision], folder)
    unchanged = all(Look(bench.family.transformer) == looks[precision] for precision, bench in benches.items())
    print("base unchanged" if unchanged else "base changed", flush=True)


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
