"""The whole of a sweep, from the sweep file to the summary: what `posttrain sweep` does.

    check -> curate -> [Ray: encode, baseline, gate -> search on slots] -> summary

Everything that must survive a kill is in the run directory: the study is the truth about trials, their folders about
training. Running the same command again opens both and does what remains.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from posttrain import cache
from posttrain.config import LoadedSweep, SweepConfig, TrialConfig, merge, trial_config, value_at
from posttrain.config.own import own_parameters, own_values
from posttrain.config.space_check import searched_probabilities, widest_data
from posttrain.data import Dataset, checked_mixture
from posttrain.errors import ConfigError, DataError, NoAnswer, PosttrainError
from posttrain.paths import RunPaths
from posttrain.sweep.corners import gate_configurations
from posttrain.sweep.curate import curate, timed
from posttrain.sweep.entry import run_job
from posttrain.sweep.events import Display, RunEvents, restore_results
from posttrain.sweep.plan import AshaSpec, SweepPlan
from posttrain.sweep.protocol import Outcome
from posttrain.sweep.runner import run_sweep
from posttrain.sweep.study import FirstTrial, StudyBook
from posttrain.sweep.suggest import first_draws, make_samplers, make_suggest
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
    with timed(seconds, "data"):
        dataset = curate(loaded, run, display)
    display.watch(run)
    with timed(seconds, "search"):
        _search(loaded, dataset, run, address, display)


def _search(loaded: LoadedSweep, dataset: Dataset[Any], run: RunPaths, address: str | None, display: Display) -> None:
    config, base_dir = loaded.config, loaded.base_dir
    base = trial_config(config)
    objective = {"metric": config.search.objective.metric, "mode": config.search.objective.mode}

    book = _open_study(config, run)
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


def _open_study(config: SweepConfig, run: RunPaths) -> StudyBook:
    space, base = config.search_space, trial_config(config)
    return StudyBook(
        run.study_journal,
        config.name,
        mode=config.search.objective.mode,
        suggest=make_suggest(space, lambda path: value_at(base, path)),
        first=FirstTrial(first_draws(space, own_values(base, space)), own_parameters(base, space)),
        make_sampler=make_samplers(config.search.sampler, config.search.seed, config.search.trials),
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
            "neither the file's own configuration nor an end of its search space can learn "
            f"{config.overfit.samples if config.overfit else 0} samples by heart: {own['message']}; {own['remedy']}"
        )
