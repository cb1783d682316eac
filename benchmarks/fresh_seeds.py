"""Are the winners of two sweeps different, or was it luck? Trials of ended runs, trained again with fresh seeds.

    python benchmarks/fresh_seeds.py runs/tiny-mixture:t0001 runs/tiny-mixture runs/tiny-two-stages [--seeds 5]

Each argument is a run, whose best trial is taken, or `run:trial`. Every configuration is trained with the same seeds,
which no sweep used; the table tells the median of the objective with its spread, and the ratio to the first one, seed
by seed.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

import yaml

from posttrain.config import TrialConfig, merge
from posttrain.data import read_splits
from posttrain.paths import RunPaths, TrialPaths
from posttrain.reports.summary import build_summary
from posttrain.training.observer import EvaluationRecord, StepRecord
from posttrain.training.train import train
from posttrain.training.workbench import Workbench, open_workbench

FIRST_SEED = 1000


class Silent:
    """An observer that lets a trial run to its end."""

    def on_progress(self, step: int, phase: str) -> None:
        """Nothing to see."""

    def on_step(self, record: StepRecord) -> None:
        """Nothing to see."""

    def on_evaluation(self, record: EvaluationRecord) -> str | None:
        return None

    def should_stop(self) -> bool:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", help="a run directory, or run:trial")
    parser.add_argument("--seeds", type=int, default=5)
    asked = parser.parse_args()
    rows = [(name, measure(name, asked.seeds)) for name in asked.runs]
    first = rows[0][1]
    print("| trial | median | least | most | against the first, seed by seed |\n|---|---|---|---|---|")
    for name, values in rows:
        ratios = [value / base for value, base in zip(values, first, strict=True)]
        spread = f"{statistics.median(ratios):.3f} x ({min(ratios):.3f} to {max(ratios):.3f})"
        print(f"| {name} | {statistics.median(values):.4f} | {min(values):.4f} | {max(values):.4f} | {spread} |")


def measure(name: str, num_seeds: int) -> list[float]:
    """The objective at its best step, of one configuration with each fresh seed."""
    folder, _, trial = name.partition(":")
    run = RunPaths(Path(folder))
    summary = build_summary(run)
    metric = summary["objective"]["metric"]
    trial = trial or summary["best"]["trial"]
    config = TrialConfig.model_validate(yaml.safe_load(run.trial(trial).trial_yaml.read_text(encoding="utf-8")))
    bench = open_workbench(config, read_splits(run), Path())
    return [_once(config, bench, FIRST_SEED + seed, metric) for seed in range(num_seeds)]


def _once(config: TrialConfig, bench: Workbench, seed: int, metric: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        outcome = train(merge(config, {"training.seed": seed}), bench, TrialPaths(Path(folder)), Silent())
    return float(outcome.metrics[metric]["best"])


if __name__ == "__main__":
    main()
