"""A worker process: trials one after the other, alone or as one of a group.

Usage: run_trials.py ORDERS.json FOLDER. The file lists trials: a name, changes to the configuration by dotted path,
and the step to be interrupted at. With WORLD_SIZE in the environment the process joins a gloo group; rank 0 writes.
"""

import json
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from posttrain.errors import EnvironmentFault
from posttrain.overfit.gate import gate
from posttrain.paths import TrialPaths
from posttrain.training.train import train
from tests.look import Look
from tests.tiny_trial import Listener, open_bench, trial_config


def main(orders: Path, folder: Path) -> None:
    torch.set_num_threads(1)
    rank = int(os.environ.get("RANK", "0"))
    if "WORLD_SIZE" in os.environ:
        dist.init_process_group("gloo")
    bench = open_bench(trial_config())
    base = Look(bench.family.transformer)
    for order in json.loads(orders.read_text()):
        config = trial_config(order["changes"])
        if order["name"] == "gate":
            verdict = gate(config, bench)
            (folder / f"verdict-{rank}.json").write_text(json.dumps(verdict.to_dict()))
            continue
        paths = TrialPaths(folder / order["name"])
        if order["name"] == "refused" and rank == 0:
            paths.root.mkdir()
            paths.checkpoints.touch()  # a file where a folder must be: rank 0 cannot write, rank 1 has nothing to write
        # rank 0 alone is listened to
        listener = Listener(interrupt_at=order["interrupt_at"] if rank == 0 else None)
        try:
            outcome = train(config, bench, paths, listener)
            print(order["name"], outcome.status, outcome.steps, flush=True)
        except EnvironmentFault as fault:
            print(order["name"], "fault", fault, flush=True)
    print("base unchanged" if Look(bench.family.transformer) == base else "base changed", flush=True)
    if dist.is_initialized():
        dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
