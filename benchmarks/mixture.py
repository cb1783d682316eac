"""What a draw of the mixture schedule costs, and what it holds in memory.

    python benchmarks/mixture.py [--sources 100] [--draws 100000] [--repeats 5]

The schedule is measured beside two others that people use, over the same weights, in the same process and in turns, so
that a busy machine slows all of them: `numpy`, one `Generator.choice` over the weights a draw, and `datasets`, a stream
that `datasets.interleave_datasets` makes of streams that hold a number each. Both keep the weights on average alone.
Times are medians of the repeats, of this thread's CPU. Memory is Python's peak over a run of ten
thousand and of a million draws, which must be alike.

Ends with 1 when a draw takes 20 microseconds or more at that number of sources, or memory grows with the draws.
"""

import argparse
import itertools
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator

import numpy as np
from datasets import IterableDataset, interleave_datasets

from posttrain.data import MixtureSchedule, Stage

LIMIT_US = 20.0
SIZE = 1000  # samples of a source
SHORT, LONG = 10_000, 1_000_000
GROWTH = 1.1  # how much more memory a hundred times the draws may take


def weights_of(num_sources: int) -> dict[str, float]:
    """Unequal weights, the same in every run."""
    drawn = np.random.default_rng(0).dirichlet([1.0] * num_sources)
    return {f"source{place:04}": float(weight) for place, weight in enumerate(drawn)}


def run_schedule(weights: dict[str, float], num_draws: int) -> None:
    """Draws from the schedule of a training of one stage."""
    schedule = MixtureSchedule(dict.fromkeys(weights, SIZE), [Stage("all", num_draws, weights)], seed=0)
    for _ in schedule:
        pass


def run_numpy(weights: dict[str, float], num_draws: int) -> None:
    """Draws a source at random, and goes on in it."""
    rng = np.random.default_rng(0)
    names, shares = list(weights), np.asarray(list(weights.values()))
    counts = dict.fromkeys(names, 0)
    for _ in range(num_draws):
        counts[names[rng.choice(len(names), p=shares)]] += 1


def run_datasets(weights: dict[str, float], num_draws: int) -> None:
    """Draws from endless streams that hold a number each."""
    streams = [IterableDataset.from_generator(_endless) for _ in weights]
    mixed = interleave_datasets(
        streams, probabilities=list(weights.values()), seed=0, stopping_strategy="all_exhausted"
    )
    for _ in zip(range(num_draws), mixed, strict=False):
        pass


def _endless() -> Iterator[dict[str, int]]:
    for number in itertools.count():
        yield {"number": number % SIZE}


WAYS: dict[str, Callable[[dict[str, float], int], None]] = {
    "schedule": run_schedule,
    "numpy": run_numpy,
    "datasets": run_datasets,
}


def microseconds(way: Callable[[dict[str, float], int], None], weights: dict[str, float], num_draws: int) -> float:
    """What a draw costs, setting up included."""
    began = time.thread_time()
    way(weights, num_draws)
    return (time.thread_time() - began) / num_draws * 1e6


def peak_bytes(weights: dict[str, float], num_draws: int) -> int:
    """Python's peak memory over a run."""
    tracemalloc.start()
    run_schedule(weights, num_draws)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=int, default=100)
    parser.add_argument("--draws", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    weights = weights_of(options.sources)
    times: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(options.repeats):
        for name, way in WAYS.items():
            times[name].append(microseconds(way, weights, options.draws))
    medians = {name: statistics.median(found) for name, found in times.items()}
    print(f"{options.sources} sources, {options.draws} draws, median of {options.repeats}:")
    for name, median in medians.items():
        ratio = f"{median / medians['schedule']:.2f} times the schedule's"
        print(f"  {name:9} {median:6.2f} us a draw ({min(times[name]):.2f} to {max(times[name]):.2f}), {ratio}")
    short, long = (peak_bytes(weights, number) for number in (SHORT, LONG))
    print(f"  memory: {short / 1e6:.2f} MB over {SHORT} draws, {long / 1e6:.2f} MB over {LONG}")
    return int(medians["schedule"] >= LIMIT_US or long > GROWTH * short)


if __name__ == "__main__":
    sys.exit(main())
