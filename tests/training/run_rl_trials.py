"""A worker process of a gloo group: trials of RL one after the other; rank 0 writes.

Usage: run_rl_trials.py ORDERS.json FOLDER. The file lists trials: a name and changes to the configuration.
"""

import json
import os
import sys
from pathlib import Path

import torch.distributed as dist

from posttrain.errors import RewardError
from posttrain.paths import TrialPaths
from posttrain.training.train import train
from tests.rl_trial import rl_bench, rl_config
from tests.tiny_trial import Listener


def main(orders: Path, folder: Path) -> None:
    dist.init_process_group("gloo")
    bench = rl_bench()
    for order in json.loads(orders.read_text()):
        try:
            outcome = train(rl_config(order["changes"]), bench, TrialPaths(folder / order["name"]), Listener())
            print(order["name"], outcome.status, outcome.steps, flush=True)
        except RewardError as error:
            print(order["name"], "refused", error, flush=True)
    dist.destroy_process_group()
    sys.stdout.flush()
    os._exit(0)  # a thread that some library left behind now and then aborts the interpreter's own way out


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
