"""Two gloo workers: trials on the digits, by example (SFT) and by rewards (RL), one after the other.

Usage: run_chat_trials.py ORDERS.json FOLDER. The file lists trials: a name, their kind, changes to the configuration,
and whether to compute in float64. Rank 0 writes.
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

from posttrain.config import TrialConfig
from posttrain.errors import RewardError
from posttrain.paths import TrialPaths
from posttrain.training.chat_bench import ChatBench
from posttrain.training.train import train
from tests.chat_trial import chat_config, open_chat_bench
from tests.float64 import in_float64
from tests.rl_trial import rl_config
from tests.tiny_trial import Listener
from tests.training.group import in_group


def _measure_base(bench: ChatBench, config: TrialConfig, folder: Path) -> None:
    measured = bench.evaluate(config, None)
    if dist.get_rank() == 0:
        given = [answer.given for answer in measured.answers["read"]]
        (folder / "base.json").write_text(json.dumps({"values": measured.values, "given": given}))


def main(orders_file: Path, folder: Path) -> None:
    torch.set_num_threads(1)
    in_group(partial(work, json.loads(orders_file.read_text()), folder), folder)


def work(orders: Sequence[Mapping[str, Any]], folder: Path) -> None:
    benches: dict[str, ChatBench] = {}
    for order in orders:
        config = (rl_config if order["kind"] == "rl" else chat_config)(order["changes"])
        data = f"{config.data.model_dump_json()}:{config.training.precision}"
        if data not in benches:
            benches[data] = open_chat_bench(config)
        if order["name"] == "two":
            _measure_base(benches[data], config, folder)
        try:
            with in_float64(benches[data]) if order["float64"] else nullcontext():
                outcome = train(config, benches[data], TrialPaths(folder / order["name"]), Listener())
            print(order["name"], outcome.status, outcome.steps, flush=True)
        except RewardError as error:
            print(order["name"], "refused", error, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
