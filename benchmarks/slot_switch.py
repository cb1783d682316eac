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
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna

from posttrain.sweep.plan import SweepPlan
from posttrain.sweep.protocol import Job, JobFunction, Link
from posttrain.sweep.ray_session import ray_session
from posttrain.sweep.runner import run_sweep
from posttrain.sweep.study import StudyBook

LIMIT_S = 1.0


class TimedLink:
    """Passes everything on to a link and writes down when the job's first step came and how long its gate took."""

    def __init__(self, link: Link, job: Job, clock: Path) -> None:
        self._link = link
        self._job = job
        self._clock = clock
        self._gate_began: float | None = None
        self._gate_s = 0.0
        self._stepped = False
        self.rank, self.world_size = link.rank, link.world_size

    def report(self, step: int, values: Mapping[str, float]) -> str | None:
        self._step()
        return self._link.report(step, values)

    def should_stop(self) -> bool:
        return self._link.should_stop()

    def note(self, event: Mapping[str, Any]) -> None:
        if event.get("status") == "gate":
            self._gate_began = time.time()
        elif self._gate_began is not None:
            self._gate_s, self._gate_began = time.time() - self._gate_began, None
        if "step" in event:
            self._step()
        self._link.note(event)

    def _step(self) -> None:
        if not self._stepped:
            self._stepped = True
            self.write("first step", gate_s=self._gate_s)

    def write(self, what: str, **values: float) -> None:
        if self.rank == 0:
            with self._clock.open("a") as file:
                file.write(json.dumps({"job": self._job.id, "what": what, "at": time.time(), **values}) + "\n")


def timed(job_function: JobFunction, clock: Path) -> JobFunction:
    """The same job function under a stop-watch."""

    def run(job: Job, link: Link) -> dict[str, Any]:
        timed_link = TimedLink(link, job, clock)
        try:
            return job_function(job, timed_link)
        finally:
            timed_link.write("end")

    return run


def switches(clock: Path) -> list[float]:
    """Seconds from each end to the next job's first step, the gate left out."""
    events = [json.loads(line) for line in clock.read_text().splitlines()]
    found = []
    for end, first in itertools.pairwise(events):
        if (end["what"], first["what"]) == ("end", "first step"):
            found.append(first["at"] - end["at"] - first["gate_s"])
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


def measure_warm(
    job_function: JobFunction,
    prepare: Mapping[str, Any],
    payload: Callable[[str, Mapping[str, Any]], Mapping[str, Any]],
    trials: int,
    folder: Path,
) -> list[float]:
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
        timed(job_function, clock),
        prepare=prepare,
        prepared=lambda outcome: None,
        payload=payload,
        events=Silent(),
    )
    return switches(clock)


def measure_fresh(job_function: JobFunction, payload: Mapping[str, Any], trials: int, folder: Path) -> list[float]:
    """The documented pattern: every Tune trial starts a Ray Train run of its own."""
    from ray import train, tune
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.tune.integration.ray_train import TuneReportCallback

    clock = folder / "fresh.jsonl"
    job = timed(job_function, clock)

    def loop(config: dict[str, Any]) -> None:
        job(Job(config["id"], "trial", config["payload"]), _TrainLink())

    def driver(config: dict[str, Any]) -> None:
        TorchTrainer(
            loop,
            train_loop_config={"id": f"fresh-{config['number']}", "payload": payload},
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


def toy(job: Job, link: Link) -> dict[str, Any]:
    """A small regression: imports torch, builds a model, trains a few steps, reports once."""
    import torch

    if job.kind == "prepare":
        link.note({"step": 0})
        return {}
    torch.manual_seed(0)
    model = torch.nn.Linear(16, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    inputs = torch.randn(64, 16)
    for step in range(1, 21):
        loss = (model(inputs) - inputs.sum(1, keepdim=True)).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        link.note({"step": step})
    link.report(20, {"objective": float(loss.detach())})
    return {"value": float(loss.detach())}


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
        rows = {"warm slot": measure_warm(toy, {}, lambda id_, parameters: {}, options.trials, folder)}
        if options.fresh:
            rows["fresh run"] = measure_fresh(toy, {}, options.fresh, folder)
    print(table(rows))
    return 0 if statistics.median(rows["warm slot"]) < LIMIT_S else 1


if __name__ == "__main__":
    sys.exit(main())
