"""A worker process: trials one after the other, alone or as one of a group.

Usage: run_trials.py ORDERS.json FOLDER. The file lists trials: a name, changes to the configuration by dotted path,
the step to be interrupted at, and whether to compute in float64. With WORLD_SIZE in the environment the process joins
a gloo group; rank 0 writes.
"""

import json
import os
import sys
from contextlib import nullcontext
from pathlib import Path

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


def main(orders: Path, folder: Path) -> None:
    torch.set_num_threads(1)
    rank = int(os.environ.get("RANK", "0"))
    if "WORLD_SIZE" in os.environ:
        dist.init_process_group("gloo")
    benches: dict[str, VideoBench] = {}
    looks: dict[str, Look] = {}
    for order in json.loads(orders.read_text()):
        config = trial_config(order["changes"])
        kept = config.training.precision
        if kept not in benches:
            benches[kept] = open_bench(config)
            looks[kept] = Look(benches[kept].family.transformer)
        bench = benches[kept]
        if order["name"].startswith("gate"):
            verdict = gate(config, bench)
            (folder / f"{order['name']}-{rank}.json").write_text(json.dumps(verdict.to_dict()))
            continue
        paths = TrialPaths(folder / order["name"])
        if order["name"] == "refused" and rank == 0:
            paths.root.mkdir()
            paths.checkpoints.touch()  # a file where a folder must be: rank 0 cannot write, rank 1 has nothing to write
        # rank 0 alone is listened to
        listener = Listener(interrupt_at=order["interrupt_at"] if rank == 0 else None)
        try:
            with in_float64(bench) if order.get("float64") else nullcontext():
                outcome = train(config, bench, paths, listener)
            print(order["name"], outcome.status, outcome.steps, flush=True)
        except EnvironmentFault as fault:
            print(order["name"], "fault", fault, flush=True)
    unchanged = all(Look(bench.family.transformer) == looks[kept] for kept, bench in benches.items())
    print("base unchanged" if unchanged else "base changed", flush=True)
    if dist.is_initialized():
        dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
