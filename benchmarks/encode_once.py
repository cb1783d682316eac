"""What the cache of encodings costs a trial: encoder forwards, and steps per second against tensors in memory.

    python benchmarks/encode_once.py [--runs 5] [--steps 60]

Trials of the quickstart's kind run in one process, alternately with the store (a sweep's second trial) and with the
store replaced by a dict of tensors that were there before the clock started: the same trial, the same draws. *disk*
reads every entry from its file at every draw, as with data beyond the memory of a worker; *warm slot* is the store as a
sweep has it. The clips are the built-in ones, at their own size and at a larger one. Forward passes of the encoders are
counted by hooks on every network of the process.

A second table reads latents of the published size (16 x 24 x 60 x 104, float32) through the store.

Ends with 1 when a trial made an encoder forward, or a warm slot takes more than 5 % longer than memory, by CPU time: a
trial computes in one thread, and the wall shows what else the machine does.
"""

import argparse
import dataclasses
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.nn.modules.module import register_module_forward_pre_hook

from posttrain.config import TrialConfig
from posttrain.data import Sample, Splits, prepare
from posttrain.models import clip_of, describe
from posttrain.models.encoding import EncodingStore
from posttrain.models.encoding_files import EncodingFiles
from posttrain.paths import TrialPaths
from posttrain.training.observer import EvaluationRecord, StepRecord
from posttrain.training.train import train
from posttrain.training.video_bench import VideoBench

ENCODERS = ("WanEncoder3d", "Qwen2_5_VLForConditionalGeneration")
LIMIT = 0.05
CLIPS = 12  # of each source
REAL_SHAPE = (16, 24, 60, 104)
SIZES: dict[str, dict[str, Any]] = {"built-in size": {}, "larger clips": {"height": 96, "width": 128}}


class InMemory:
    """Stands in for the store: every tensor is there before the clock starts."""

    encoded = encoded_again = 0

    def __init__(self, store: EncodingStore, samples: Sequence[Sample]) -> None:
        self.family = store.family
        self._latents = {sample.id: store.latents(sample).clone() for sample in samples}
        self._prompts = {sample.caption: store.prompt(sample.caption).clone() for sample in samples}

    def latents(self, sample: Sample, *_: Any) -> torch.Tensor:
        return self._latents[sample.id]

    def prompt(self, caption: str) -> torch.Tensor:
        return self._prompts[caption]

    def controls(self, *_: Any) -> None:
        return None


class Seconds(NamedTuple):
    """Of a step: by the wall, and of CPU time, which other work on the machine disturbs less."""

    wall: float
    cpu: float


class Clock:
    """An observer that notes when each step ended, by the wall and by this process's own CPU time.

    A trial asks at the end of each step whether to stop.
    """

    def __init__(self) -> None:
        self.at: list[tuple[float, float]] = []

    def on_progress(self, step: int, phase: str) -> None:
        pass

    def on_step(self, record: StepRecord) -> None:
        pass

    def on_evaluation(self, record: EvaluationRecord) -> None:
        return None

    def should_stop(self) -> bool:
        self.at.append((time.perf_counter(), time.process_time()))
        return False


def trial(steps: int, model: dict[str, Any]) -> TrialConfig:
    """A LoRA on the built-in base, without an evaluation before its end."""
    return TrialConfig.model_validate(
        {
            "name": "encode-once",
            "model": {"checkpoint": "tiny:predict2.5", **model},
            "strategy": {"type": "lora", "rank": 8},
            "data": {
                "sources": {"a": {"path": "demo:shapes/fixed-high"}, "b": {"path": "demo:shapes/tracking-high"}},
            },
            "training": {"steps": steps, "batch_size": 4, "learning_rate": 1e-3, "precision": "fp32"},
            "evaluation": {"every": steps, "suites": {"held_out": {"source": "a", "samples": 1}}, "psnr": None},
        }
    )


def open_bench(config: TrialConfig) -> VideoBench:
    """The workbench with everything encoded: what the first trial of a sweep finds."""
    dataset = prepare(config, clip_of(config.model, describe(config.model.checkpoint)), Path())
    some = {name: samples[:CLIPS] for name, samples in dataset.train.items()}
    bench = VideoBench.open(config, Splits(some, dataset.suites), Path(), torch.device("cpu"), None)
    bench.encode(bench.samples(), lambda done, total: None, lambda: False)
    return bench


@contextmanager
def forwards() -> Iterator[Counter[str]]:
    """Counts forward passes by the class of the network."""
    counts: Counter[str] = Counter()
    handle = register_module_forward_pre_hook(lambda module, _: counts.update([type(module).__name__]))
    try:
        yield counts
    finally:
        handle.remove()


def seconds_a_step(config: TrialConfig, bench: VideoBench, store: Any) -> Seconds:
    """The median time from the end of a step to the end of the next."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        train(config, dataclasses.replace(bench, store=store), TrialPaths(Path(folder)), clock)
    steps = list(itertools.pairwise(clock.at[: config.training.steps]))
    return Seconds(*(statistics.median(end[which] - begin[which] for begin, end in steps) for which in (0, 1)))


def compare(config: TrialConfig, runs: int) -> tuple[dict[str, list[Seconds]], int, int]:
    """Seconds a step by way, over alternate runs; encoder forwards of all of them; bytes that a draw reads."""
    bench = open_bench(config)
    disk = EncodingStore(bench.family, memory_bytes=0)
    ways = {"memory": InMemory(bench.store, bench.samples()), "warm slot": bench.store, "disk": disk}
    sample = bench.samples()[0]
    num_bytes = bench.store.latents(sample).nbytes + bench.store.prompt(sample.caption).nbytes
    seconds: dict[str, list[Seconds]] = {name: [] for name in ways}
    with forwards() as counts:
        for turn in range(runs + 1):
            for name, store in ways.items():
                measured = seconds_a_step(config, bench, store)
                if turn:  # the first turn warms up
                    seconds[name].append(measured)
    return seconds, sum(counts[name] for name in ENCODERS), num_bytes


def wall_ratio(seconds: dict[str, list[Seconds]], way: str) -> float:
    """Steps per second of a way against memory: the median over runs that followed each other."""
    pairs = zip(seconds["memory"], seconds[way], strict=True)
    return statistics.median(memory.wall / other.wall for memory, other in pairs)


def cpu_ratio(seconds: dict[str, list[Seconds]], way: str) -> float:
    """The same of CPU time, between the least disturbed runs: other work on the machine only ever adds to it."""
    memory, other = (min(each.cpu for each in seconds[name]) for name in ("memory", way))
    return memory / other


def trials_table(rows: dict[str, tuple[dict[str, list[Seconds]], int, int]]) -> str:
    """Markdown: one row a size and way."""
    lines = [
        "| second trial | read per draw | tensors from | steps per second | against memory | by CPU time | encoder "
        "forwards |",
        "|---|---|---|---|---|---|---|",
    ]
    for size, (seconds, num_forwards, num_bytes) in rows.items():
        for way, values in seconds.items():
            cells = [
                size,
                f"{num_bytes / 1e6:.2f} MB",
                way,
                f"{1 / statistics.median(each.wall for each in values):.1f}",
            ]
            cells += [f"{wall_ratio(seconds, way):.1%}", f"{cpu_ratio(seconds, way):.1%}", str(num_forwards)]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def reading_table(num_entries: int = 24) -> str:
    """Markdown: milliseconds to read an entry of the published size, and to draw the noise that goes with it."""
    files = EncodingFiles(memory_bytes=0)
    paths = [files.path("latents", f"benchmark-{index}") for index in range(num_entries)]
    for path in paths:
        files.write(path, {"value": torch.randn(REAL_SHAPE)})
    kept = [files.read(path)["value"] for path in paths]
    target, generator = torch.empty(REAL_SHAPE), torch.Generator().manual_seed(0)

    def read(path: Path) -> torch.Tensor:
        return target.copy_(files.read(path)["value"])

    rows = {
        "memory": _ms(lambda index: target.copy_(kept[index]), num_entries),
        "store, file in the system's cache": _ms(lambda index: read(paths[index]), num_entries),
        "store, file on the disk": _ms(lambda index: read(paths[index]), num_entries, lambda: _forget(paths)),
        "(the noise of the same draw)": _ms(lambda index: torch.randn(REAL_SHAPE, generator=generator), num_entries),
    }
    for path in paths:
        files.discard(path)
    size = kept[0].nbytes / 1e6
    lines = ["| latents of a published clip | size | ms an entry |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {size:.1f} MB | {value:.1f} |" for name, value in rows.items())])


def _ms(call: Callable[[int], Any], count: int, before: Callable[[], None] = lambda: None) -> float:
    """The median of three passes over `count` calls, in milliseconds a call."""
    passes = []
    for _ in range(3):
        before()
        began = time.perf_counter()
        for index in range(count):
            call(index)
        passes.append((time.perf_counter() - began) / count * 1000)
    return statistics.median(passes)


def _forget(paths: Sequence[Path]) -> None:
    """Asks the system to drop the files from its page cache."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="runs of each way, alternating")
    parser.add_argument("--steps", type=int, default=60, help="steps of a trial at the built-in size")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = {}
    for size, model in SIZES.items():
        steps = options.steps if not model else max(8, options.steps // 3)
        rows[size] = compare(trial(steps, model), options.runs)
    print(trials_table(rows))
    print()
    print(reading_table())
    failed = any(
        num_forwards or cpu_ratio(seconds, "warm slot") < 1 - LIMIT for seconds, num_forwards, _ in rows.values()
    )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
