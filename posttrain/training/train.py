"""One trial in this process: attach, train, measure, and leave the base as it was.

The gate, the tests, `posttrain train` and a Ray Train worker all come through `train`. In a group of workers every
rank calls it with the same trial; rank 0 writes the files and talks to the observer.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from posttrain.config import TrialConfig
from posttrain.data import plan_mixture
from posttrain.evaluation.ranks import gather, world
from posttrain.evaluation.suites import Evaluation, mode_of
from posttrain.paths import TrialPaths
from posttrain.strategies import STRATEGIES, Strategy
from posttrain.tracking.metrics import Measured, Mode, best
from posttrain.tracking.results import Outcome
from posttrain.training.callback import TrialCallback
from posttrain.training.checkpoints import Checkpoints
from posttrain.training.draws import Draws, Tally
from posttrain.training.observer import EvaluationRecord, Observer
from posttrain.training.records import TrialRecords
from posttrain.training.trainer import LogReader, reset_process_state
from posttrain.training.workbench import Workbench

MAX_LOG_EVERY = 10  # optimizer steps between two training records


def train(config: TrialConfig, bench: Workbench, paths: TrialPaths, observer: Observer) -> Outcome:
    """Trains one configuration, from its last checkpoint when there is one.

    Raises:
        ModelError: the strategy does not fit the model.
        EnvironmentFault: no disk to write on, or not enough memory.
    """
    started = time.perf_counter()
    _reset_peak_memory()
    encoded_before = bench.encoded
    checkpoints = Checkpoints(paths.checkpoints)
    resume_step = checkpoints.last()
    with (
        attached(config, bench) as strategy,
        TrialRecords.open(paths if world()[0] == 0 else None, resume_step) as records,
    ):
        draws = plan_draws(config, bench)
        callback = _callback(config, bench, strategy, observer, checkpoints, records, draws)
        steps = resume_step or 0
        if not _told_to_stop(callback, resume_step) and steps < config.training.steps:
            resume = str(checkpoints.folder(resume_step)) if resume_step is not None else None
            steps = fit(config, bench, strategy, draws, paths, callback, checkpoints, resume=resume)
        outcome = _outcome(callback, steps, records.history())
    num_draws = config.num_batches(steps) * config.training.batch_size
    tally = draws.tally(num_draws)
    outcome.mixture, outcome.exposure = tally.counts(), _exposure(config, tally, bench)
    outcome.augmentations = bench.augmented(config, draws, num_draws)
    seconds = time.perf_counter() - started
    outcome.encodings = _encodings(encoded_before, bench)
    outcome.seconds = {"training": seconds - callback.evaluation_seconds, "evaluation": callback.evaluation_seconds}
    outcome.peak_memory_bytes = _peak_memory_bytes()
    return outcome


@contextmanager
def attached(config: TrialConfig, bench: Workbench) -> Iterator[Strategy]:
    """A model with the trial's trainable parameters, for the length of the block."""
    strategy = STRATEGIES[config.strategy.type](config.strategy)
    reset_process_state()
    strategy.attach(bench.model, config.training.seed)
    try:
        _switch_checkpointing(bench, config.training.gradient_checkpointing)
        yield strategy
    finally:
        _switch_checkpointing(bench, False)
        for network in bench.model.modules.values():
            network.zero_grad(set_to_none=True)
        strategy.detach(bench.model)
        for network in bench.model.modules.values():
            network.eval()


def _switch_checkpointing(bench: Workbench, on: bool) -> None:
    for network in bench.model.modules.values():
        switches: Any = network  # the libraries' switches carry no types
        if hasattr(switches, "activation_checkpointing_enable"):  # transformers has another name for it than diffusers
            switches.activation_checkpointing_enable() if on else switches.activation_checkpointing_disable()
        elif on:
            switches.enable_gradient_checkpointing()
        elif switches.is_gradient_checkpointing:
            switches.disable_gradient_checkpointing()


def fit(
    config: TrialConfig,
    bench: Workbench,
    strategy: Strategy,
    draws: Draws,
    paths: TrialPaths,
    callback: LogReader,
    checkpoints: Checkpoints | None,
    *,
    resume: str | None = None,
) -> int:
    """Runs the Trainer over the draws; returns the optimizer steps done, those before `resume` included."""
    every = config.evaluation.eval_every(config.training.steps)
    # a divisor of the evaluation interval: a resumed run logs means over the same steps as an uninterrupted one
    log_every = max(divisor for divisor in range(1, min(every, MAX_LOG_EVERY) + 1) if every % divisor == 0)
    trainer = bench.trainer(config, draws, paths.root, log_every=log_every)
    trainer.keep(strategy, bench.model, callback, checkpoints, lambda step: rate_factor(config, draws, step))
    trainer.train(resume_from_checkpoint=resume)
    trainer.accelerator.free_memory()
    return int(trainer.state.global_step)


def rate_factor(config: TrialConfig, draws: Draws, step: int) -> float:
    """The learning-rate factor of the stage that the step after the first `step` ones draws from."""
    return draws.stage((config.num_batches(step + 1) - 1) * config.training.batch_size).learning_rate_factor


def plan_draws(config: TrialConfig, bench: Workbench) -> Draws:
    """The trial's draws over the training samples that its stages may draw."""
    training, train = config.training, bench.dataset.train
    mixture = plan_mixture(config.data, train, config.num_batches(training.steps), training.batch_size)
    return Draws(training.seed, mixture.stages, train, mixture.pools)


def _callback(
    config: TrialConfig,
    bench: Workbench,
    strategy: Strategy,
    observer: Observer,
    checkpoints: Checkpoints,
    records: TrialRecords,
    draws: Draws,
) -> TrialCallback:
    def drawn(step: int) -> dict[str, float]:
        return draws.tally(config.num_batches(step) * config.training.batch_size).curves()

    def evaluate(step: int) -> Evaluation:
        with strategy.measured(bench.model):
            return bench.evaluate(config, step)

    return TrialCallback(
        observer,
        evaluate,
        drawn,
        evaluate_every=config.evaluation.eval_every(config.training.steps),
        checkpoints=checkpoints,
        records=records,
        device=bench.device,
    )


def _exposure(config: TrialConfig, tally: Tally, bench: Workbench) -> dict[str, dict[str, dict[str, float]]]:
    """What the model was shown, by stage and source; every worker comes here."""
    epochs, drawn = tally.epochs(), tally.drawn()
    samples = [sample for by_source in drawn.values() for each in by_source.values() for sample, _ in each]
    sizes = bench.sizes(config, samples)
    return {
        stage: {
            source: {
                "samples": sum(times for _, times in each),
                "epochs": epochs[stage][source],
                bench.size_unit: sum(times * sizes[sample.id] for sample, times in each),
            }
            for source, each in by_source.items()
        }
        for stage, by_source in drawn.items()
    }


def _told_to_stop(callback: TrialCallback, resume_step: int | None) -> bool:
    """Tells a scheduler that starts afresh what this trial reported in its earlier life."""
    return any(callback.tell(record) for record in callback.records.history() if record.step <= (resume_step or 0))


def _outcome(callback: TrialCallback, steps: int, history: list[EvaluationRecord]) -> Outcome:
    metrics = best_and_last(history)
    if callback.diverged or callback.stop_reason:
        return Outcome("stopped", callback.diverged or callback.stop_reason or "", steps, metrics)
    if callback.interrupted:
        return Outcome(
            "interrupted", f"interrupted at step {steps}; the same command goes on from there", steps, metrics
        )
    return Outcome("completed", "", steps, metrics)


def best_and_last(history: list[EvaluationRecord]) -> dict[str, dict[str, Any]]:
    """For each metric its best and last value with their steps; the earlier step of equal values."""
    measured: dict[str, list[Measured]] = {}
    for record in history:
        for name, value in record.values.items():
            if math.isfinite(value):  # the outcome's reason tells of one that is not
                measured.setdefault(name, []).append(Measured(value, record.step))
    return {name: _best_and_last(values, mode_of(name)) for name, values in measured.items()}


def _best_and_last(values: list[Measured], mode: Mode) -> dict[str, Any]:
    top, last = best(values, mode), values[-1]
    assert top is not None, "all values are finite"
    return {"mode": mode, "best": top.value, "best_step": top.step, "last": last.value, "last_step": last.step}


def _encodings(before: tuple[int, int], bench: Workbench) -> dict[str, int]:
    own = torch.tensor(bench.encoded, device=bench.device) - torch.tensor(before, device=bench.device)
    return dict(zip(("encoded", "encoded_again"), map(int, gather(own)), strict=True))


def _reset_peak_memory() -> None:
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def _peak_memory_bytes() -> int:
    """Of the GPU where there is one; else the peak resident size of this process, which spans its earlier trials."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
