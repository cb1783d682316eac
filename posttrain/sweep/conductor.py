"""The whole of a sweep, from the sweep file to the summary: what `posttrain sweep` does.

    check -> curate -> [Ray: encode, baseline, gate -> search on slots] -> summary

Everything that must survive a kill is in the run directory: the study is the truth about trials, their folders about
training. Running the same command again opens both and does what remains.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from posttrain import cache
from posttrain.config import LoadedSweep, SweepConfig, TrialConfig, merge, trial_config, value_at
from posttrain.config.space_check import searched_probabilities, widest_data
from posttrain.data import (
    Dataset,
    caps_in_reach,
    checked_mixture,
    count_kinds,
    prepare,
    refuse_changes,
    write_manifest,
)
from posttrain.errors import ConfigError, DataError, NoAnswer, PosttrainError
from posttrain.models.reading import reading_of
from posttrain.paths import RunPaths
from posttrain.sweep.corners import gate_configurations
from posttrain.sweep.entry import run_job
from posttrain.sweep.events import Display, RunEvents, restore_results
from posttrain.sweep.plan import AshaSpec, SweepPlan
from posttrain.sweep.protocol import Outcome
from posttrain.sweep.runner import run_sweep
from posttrain.sweep.study import StudyBook
from posttrain.sweep.suggest import make_samplers, make_suggest, own_values
from posttrain.tracking.columns import BASELINE_ID


def conduct(
    loaded: LoadedSweep, run: RunPaths, *, address: str | None, display: Display, seconds: dict[str, float]
) -> None:
    """Runs what remains of a sweep in its opened run directory; fills in the `seconds` of each phase, also on failure.

    Raises:
        ConfigError, DataError, ModelError: the user's input is wrong.
        NoAnswer: nothing in the search space can learn.
        Interrupted: Ctrl-C or SIGTERM; the same command goes on.
        EnvironmentFault: no disk, no cluster, not enough memory.
    """
    cache.hold()  # until this process ends, whatever becomes of the workers
    with _timed(seconds, "data"):
        dataset = _curate(loaded, run, display)
    display.watch(run)
    with _timed(seconds, "search"):
        _search(loaded, dataset, run, address, display)


@contextmanager
def _timed(seconds: dict[str, float], phase: str) -> Iterator[None]:
    began = time.monotonic()
    try:
        yield
    finally:
        seconds[phase] = time.monotonic() - began


def read_data(loaded: LoadedSweep, display: Display) -> Dataset[Any]:
    """Every source of the file; raises DataError or ModelError where one, or the checkpoint, cannot be used."""
    config = loaded.config
    display.progress("data", {"doing": f"opening the checkpoint ({config.model.checkpoint})"})
    _, spec = reading_of(config, loaded.base_dir)

    def progress(source: str, done: int, total: int) -> None:
        display.progress("data", {"doing": f"reading {source}", "done": done, "total": total})

    dataset = prepare(trial_config(config), spec, loaded.base_dir, progress)
    display.progress("data", {"doing": ""})
    return dataset


def _curate(loaded: LoadedSweep, run: RunPaths, display: Display) -> Dataset[Any]:
    dataset = read_data(loaded, display)
    refuse_changes(
        dataset,
        run,
        f"put it back as {run.manifest_jsonl} has it, give the sweep another `name`, or start over with --fresh (it "
        "deletes the run)",
    )
    write_manifest(dataset, run)
    for name, scan in dataset.scans.items():
        parts = [f"{len(dataset.train.get(name, []))} to train on", f"{len(dataset.held_out.get(name, []))} held out"]
        if scan.dropped:
            kinds = ", ".join(f"{count} {kind}" for kind, count in count_kinds(scan.dropped).items())
            parts.append(f"{len(scan.dropped)} dropped ({kinds}; see {run.manifest_jsonl})")
        display.note(f"data, {name}: {scan.found} found, {', '.join(parts)}")
    for warning in [*dataset.warnings, *caps_in_reach(loaded.config, dataset.train)]:
        display.note(f"warning: {warning}")
    return dataset


def _search(loaded: LoadedSweep, dataset: Dataset[Any], run: RunPaths, address: str | None, display: Display) -> None:
    config, base_dir = loaded.config, loaded.base_dir
    base = trial_config(config)
    objective = {"metric": config.search.objective.metric, "mode": config.search.objective.mode}

    def fixed(path: str) -> Any:
        return value_at(base, path)

    book = StudyBook(
        run.study_journal,
        config.name,
        mode=config.search.objective.mode,
        suggest=make_suggest(config.search_space, fixed),
        first=own_values(config.search_space, fixed),
        make_sampler=make_samplers(config.search.sampler, config.search.seed, config.search.trials),
    )
    restored = restore_results(run, book.records(), objective, config.training.seed)
    if restored:
        display.note(f"result.json was missing or damaged, written again from the study: {', '.join(restored)}")
    if _all_ended(book, config) and _has_baseline(run):
        display.note(f"all {book.num_drawn()} trials have ended; raise search.trials for more, or start --fresh")
        return
    common = {"run": str(run.root.absolute()), "base_dir": str(base_dir.absolute()), "objective": objective}

    def payload(trial_id: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        return {**common, **drawn_payload(base, dataset.train, parameters)}

    events = RunEvents(config, run, display)

    def prepared(outcome: Outcome) -> None:
        _judge_preparation(outcome, config)
        events.on_prepared()

    run_sweep(
        _plan(config, run, address),
        book,
        run_job,
        prepare={
            **common,
            "config": base.model_dump(),
            "gate": gate_configurations(config),
            "data": widest_data(config).model_dump(),
            "searched": searched_probabilities(config.search_space),
        },
        prepared=prepared,
        payload=payload,
        events=events,
    )


def drawn_payload(
    base: TrialConfig, train: Mapping[str, Sequence[Any]], parameters: Mapping[str, Any]
) -> dict[str, Any]:
    """What a trial's job is told of its parameters; `invalid` is why they make no trial that the data can carry."""
    drawn = {"parameters": dict(parameters), "config": base.model_dump()}
    try:
        merged = merge(base, parameters)
        checked_mixture(merged, train)
        return {**drawn, "config": merged.model_dump()}
    except (ConfigError, DataError) as error:
        return {**drawn, "invalid": str(error)}


def _all_ended(book: StudyBook, config: SweepConfig) -> bool:
    records = book.records()
    return len(records) >= config.search.trials and all(record.status != "running" for record in records)


def _has_baseline(run: RunPaths) -> bool:
    return run.trial(BASELINE_ID).result_json.is_file()


def _plan(config: SweepConfig, run: RunPaths, address: str | None) -> SweepPlan:
    scheduler, steps = config.search.scheduler, config.training.steps
    asha = AshaSpec(grace_steps=max(1, round(scheduler.grace * steps)), max_steps=steps, reduction=scheduler.reduction)
    resources = config.resources
    return SweepPlan(
        trials=config.search.trials,
        scratch=run.root / ".ray",
        asha=asha if scheduler.type == "asha" else None,
        workers=resources.workers,
        cpus_per_worker=resources.cpus_per_worker,
        gpus_per_worker=resources.gpus_per_worker,
        slots=resources.slots,
        max_retries=resources.max_retries,
        address=address,
    )


def _judge_preparation(outcome: Outcome, config: TrialConfig) -> None:
    """Ends the sweep before its first trial when nothing in it can work."""
    if outcome.error and "\nposttrain.errors." in outcome.traceback:
        raise PosttrainError(f"the preparation failed on {outcome.node}: {outcome.error}")
    if outcome.error:
        raise RuntimeError(f"the preparation failed on {outcome.node}\n{outcome.traceback}")  # a bug of ours
    verdicts = outcome.result["gate"]
    if verdicts and not any(verdict["passed"] for verdict in verdicts.values()):
        own = next(iter(verdicts.values()))["diagnosis"]
        raise NoAnswer(
            f"neither {config.name}'s own configuration nor a corner of its search space can learn "
            f"{config.overfit.samples if config.overfit else 0} samples by heart: {own['message']}; {own['remedy']}"
        )
