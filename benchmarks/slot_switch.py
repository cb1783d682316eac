"""How long from the end of one trial to the first step of the next: in a warm slot, and with a fresh run per trial.

    python benchmarks/slot_switch.py [--trials 6] [--fresh 4]

Both ways run in the same Ray session, one worker, one trial after the other, with the same job. *warm slot* is what a
sweep does: the trials go through `run_sweep` into one slot. *fresh run* is the documented pattern of Ray Tune with Ray
Train: a Tune function that starts a `TorchTrainer` for its trial. The clock runs in the workers, from the return of one
job to the first step (the first report, or the first note that has a step) of the next, a gate in between left out.

Any job function can be measured, see `measure_warm`. Ends with 1 when a warm switch takes a second or more.
"""

import argparse
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna

from posttrain.config import load_sweep, trial_config
from posttrain.data import prepare, write_manifest
from posttrain.models import clip_of, describe
from posttrain.paths import RunPaths
from posttrain.sweep.entry import run_job
from posttrain.sweep.plan import SweepPlan
from posttrain.sweep.protocol import Job, JobFunction, Link
from posttrain.sweep.ray_session import ray_session
from posttrain.sweep.runner import run_sweep
from posttrain.sweep.study import StudyBook

LIMIT_S = 1.0


class TimedLink:
    """Passes everything on to a link and writes down when the job's first step came."""

    def __init__(self, link: Link, job: Job, clock: Path) -> None:
        self._link = link
        self._job = job
        self._clock = clock
        self._stepped = False
        self.rank, self.world_size = link.rank, link.world_size

    def report(self, step: int, values: Mapping[str, float]) -> str | None:
        return self._link.report(step, values)

    def should_stop(self) -> bool:
        if not self._stepped:  # a trial asks at the end of each step
            self._stepped = True
            self.write("first step")
        return self._link.should_stop()

    def note(self, event: Mapping[str, Any]) -> None:
        self._link.note(event)

    def write(self, what: str) -> None:
        with self._clock.open("a") as file:
            file.write(json.dumps({"job": self._job.id, "what": what, "at": time.time()}) + "\n")


def timed(clock: Path) -> JobFunction:
    """The sweep's own job function under a stop-watch."""

    def run(job: Job, link: Link) -> dict[str, Any]:
        timed_link = TimedLink(link, job, clock)
        try:
            return run_job(job, timed_link)
        finally:
            timed_link.write("end")

    return run


def switches(clock: Path) -> list[float]:
    """Seconds from each end to the next job's first step."""
    events = [json.loads(line) for line in clock.read_text().splitlines()]
    found = []
    for end, first in itertools.pairwise(events):
        if (end["what"], first["what"]) == ("end", "first step"):
            found.append(first["at"] - end["at"])
    return found


class Silent:
    """An `Events` that shows nothing."""

    def on_trial(self, trial_id: str, status: str, **values: Any) -> None:
        if status == "failed":
            print(f"{trial_id} failed: {values['reason']}", file=sys.stderr)

    def on_progress(self, job_id: str, event: Mapping[str, Any]) -> None:
        pass

    def on_note(self, text: str) -> None:
        pass


def measure_warm(prepare: Mapping[str, Any], trial: Mapping[str, Any], trials: int, folder: Path) -> list[float]:
    """Switches between trials in one warm slot; the one from the preparation to the first trial counts too."""
    clock = folder / "warm.jsonl"
    book = StudyBook(
        folder / "study.journal",
        "switch",
        mode="min",
        suggest=lambda trial: {"x": trial.suggest_float("x", 0, 1)},
        make_sampler=lambda number: optuna.samplers.RandomSampler(seed=number),
    )
    run_sweep(
        SweepPlan(trials=trials, scratch=folder / "ray-warm", slots=1),
        book,
        timed(clock),
        prepare=prepare,
        prepared=lambda outcome: None,
        payload=lambda id_, parameters: trial,
        events=Silent(),
    )
    return switches(clock)


def measure_fresh(trial: Mapping[str, Any], trials: int, folder: Path) -> list[float]:
    """The documented pattern: every Tune trial starts a Ray Train run of its own."""
    from ray import train, tune
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.tune.integration.ray_train import TuneReportCallback

    clock = folder / "fresh.jsonl"
    job = timed(clock)

    def loop(config: dict[str, Any]) -> None:
        job(Job(config["id"], "trial", trial), _TrainLink())

    def driver(config: dict[str, Any]) -> None:
        TorchTrainer(
            loop,
            train_loop_config={"id": f"fresh-{config['number']}"},
            torch_config=TorchConfig(backend="gloo"),
            scaling_config=train.ScalingConfig(num_workers=1, resources_per_worker={"CPU": 1}),
            run_config=train.RunConfig(
                name=f"fresh-{config['number']}",
                storage_path=str(folder / "ray-fresh"),
                callbacks=[TuneReportCallback()],
            ),
        ).fit()

    tune.Tuner(
        tune.with_resources(driver, {"CPU": 0.01}),
        param_space={"number": tune.grid_search(list(range(trials)))},
        tune_config=tune.TuneConfig(max_concurrent_trials=1),
        run_config=tune.RunConfig(name="fresh", storage_path=str(folder / "ray-fresh"), verbose=0),
    ).fit()
    return switches(clock)


class _TrainLink:
    """A job's link to Ray Train alone."""

    rank, world_size = 0, 1

    def report(self, step: int, values: Mapping[str, float]) -> str | None:
        from ray import train

        train.report({"step": step, **values})
        return None

    def should_stop(self) -> bool:
        return False

    def note(self, event: Mapping[str, Any]) -> None:
        pass


def real_job(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Payloads of the quickstart's preparation and of one of its trials, shortened; the data are in a run folder."""
    overrides = ["training.steps=20", "evaluation.every=10", "evaluation.psnr=off", "overfit=off"]
    loaded = load_sweep(Path(__file__).parent.parent / "sweeps" / "quickstart.yaml", overrides)
    config = trial_config(loaded.config)
    run = RunPaths(folder / "run")
    clip = clip_of(config.model, describe(config.model.checkpoint))
    write_manifest(prepare(config, clip, loaded.base_dir), run)
    common = {
        "run": str(run.root),
        "base_dir": str(loaded.base_dir),
        "objective": {"metric": "held_out/loss", "mode": "min"},
        "config": config.model_dump(),
    }
    return {**common, "gate": {}}, {**common, "parameters": {}}


def table(rows: Mapping[str, list[float]]) -> str:
    """Markdown: one row a way, in seconds."""
    warm = statistics.median(rows["warm slot"])
    lines = ["| trial switch | switches | median | least | most | against warm |", "|---|---|---|---|---|---|"]
    for name, seconds in rows.items():
        median = statistics.median(seconds)
        values = f"{median:.2f} s | {min(seconds):.2f} s | {max(seconds):.2f} s"
        lines.append(f"| {name} | {len(seconds)} | {values} | {median / warm:.0f} x |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=6, help="trials in the warm slot")
    parser.add_argument("--fresh", type=int, default=4, help="trials with a fresh Ray Train run each; 0 for none")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ray_session():
        folder = Path(name)
        preparation, trial = real_job(folder)
        rows = {"warm slot": measure_warm(preparation, trial, options.trials, folder)}
        if options.fresh:
            rows["fresh run"] = measure_fresh(trial, options.fresh, folder)
    print(table(rows))
    return 0 if statistics.median(rows["warm slot"]) < LIMIT_S else 1


if __name__ == "__main__":
    sys.exit(main())
