"""One trial in this process, without Ray: what `posttrain train` does.

    curate -> encode, baseline -> gate -> train -> result

The jobs are those that a slot's worker runs in a sweep, in the same run directory layout; `LocalLink` takes the place
of Ray. The run's one trial is t0001, the base model is t0000.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from posttrain import cache
from posttrain.config import LoadedSingle, SchedulerConfig, SearchConfig, SingleConfig, trial_config, value_at
from posttrain.data import checked_mixture
from posttrain.errors import EnvironmentFault, Interrupted
from posttrain.paths import RunPaths
from posttrain.sweep.curate import curate, timed
from posttrain.sweep.events import Display, RunEvents
from posttrain.sweep.interrupts import Interrupt, interrupts
from posttrain.sweep.protocol import PREPARE, TRIAL, Job
from posttrain.sweep.rundir import ResumeRules
from posttrain.tracking.columns import BASELINE_ID
from posttrain.tracking.results import read_result

TRIAL_ID = "t0001"
RULES = ResumeRules(
    ("resources", "overfit"),
    "give it another name on the command line (`name=...`), or start over with --fresh (it deletes the run)",
    replaces_untrained=True,
)
# A trial with one of these has nothing left to do; a gated or a failed one is tried again.
_FINAL = ("completed", "stopped")


def in_one_process(loaded: LoadedSingle, name: str) -> LoadedSingle:
    """The configuration under the run's own name and for one worker; the effective batch size stays as it is.

    Where several workers would share a batch, one accumulates their shares, so that it needs no more memory.
    """
    config, changed = loaded.config, {"name": name}
    training, workers = config.training, config.resources.workers
    if workers > 1:
        changed["resources.workers"] = changed["resources.parallel"] = ""
        if training.micro_batch_size is None:
            changed["training.micro_batch_size"] = ""
            training = training.model_copy(update={"micro_batch_size": training.batch_size // workers})
    update = {
        "name": name,
        "training": training,
        "resources": config.resources.model_copy(update={"workers": 1, "parallel": "ddp"}),
        "search": SearchConfig(trials=1, objective=config.search.objective, scheduler=SchedulerConfig(type="none")),
    }
    origins = {path: origin for path, origin in loaded.origins.items() if not path.startswith("search.")}
    origins |= dict.fromkeys([*changed, "search.trials", "search.scheduler.type"], "posttrain train")
    return dataclasses.replace(loaded, config=config.model_copy(update=update), origins=origins)


def train_single(
    loaded: LoadedSingle,
    run: RunPaths,
    *,
    parameters: Mapping[str, Any],
    is_gated: bool,
    display: Display,
    seconds: dict[str, float],
) -> dict[str, Any]:
    """Trains the configuration in its opened run directory, or goes on; returns the trial's result.json.

    Args:
        parameters: searched values that the configuration was given, for the record.
        is_gated: whether the gate must be passed first, where the configuration has one.
        seconds: gets the time of each phase, also on failure.

    Raises:
        ConfigError, DataError, ModelError: the user's input is wrong.
        Interrupted: Ctrl-C or SIGTERM; the same command goes on.
        EnvironmentFault: no disk, or not enough memory.
    """
    cache.hold()
    with timed(seconds, "data"):
        dataset = curate(loaded, run, display)
    checked_mixture(trial_config(loaded.config), dataset.train)
    display.watch(run)
    ended = _ended(run)
    if ended is not None:
        display.note(f"{TRIAL_ID} has {ended['status']} already; --fresh trains it again")
        return ended
    in_force = {path: value_at(loaded.config, path) for path in parameters}
    with timed(seconds, "trial"), interrupts() as interrupt:
        try:
            return _run(loaded, run, in_force, is_gated, LocalLink(display, interrupt), display)
        except KeyboardInterrupt as error:
            raise Interrupted("stopped at once; the same command goes on from the last checkpoint") from error


class LocalLink:
    """The `Link` of jobs that run in this process: nobody stops them but a signal, and all they say is shown."""

    rank, world_size = 0, 1

    def __init__(self, display: Display, interrupt: Interrupt) -> None:
        self._display = display
        self._interrupt = interrupt

    def report(self, step: int, values: Mapping[str, float]) -> str | None:
        """Shows an evaluation; no scheduler stops the trial."""
        self._display.progress(TRIAL_ID, {"evaluated": dict(values), "step": step})
        return None

    def should_stop(self) -> bool:
        """Whether a signal came."""
        return self._interrupt.asked

    def note(self, event: Mapping[str, Any]) -> None:
        """Shows an event."""
        self._display.progress(TRIAL_ID, event)


def _ended(run: RunPaths) -> dict[str, Any] | None:
    """The result of a trial that has nothing left to do; what an earlier failure left is taken away."""
    trial = run.trial(TRIAL_ID)
    result = read_result(trial)
    if result is not None and result["status"] in _FINAL and read_result(run.trial(BASELINE_ID)) is not None:
        return result
    trial.result_json.unlink(missing_ok=True)
    trial.error_txt.unlink(missing_ok=True)
    return None


def _run(
    loaded: LoadedSingle,
    run: RunPaths,
    parameters: Mapping[str, Any],
    is_gated: bool,
    link: LocalLink,
    display: Display,
) -> dict[str, Any]:
    link.note({"doing": "importing the training libraries"})
    from posttrain.sweep import jobs

    link.note({"doing": f"loading the base model ({loaded.config.model.checkpoint})"})

    config = loaded.config
    _use_threads(config)
    events = RunEvents(config, run, display)
    common = {
        "run": str(run.root.absolute()),
        "base_dir": str(loaded.base_dir),
        "objective": config.search.objective.model_dump(),
        "config": trial_config(config).model_dump(),
    }
    try:
        data = {"data": config.data.model_dump(), "searched": {}, "gate": {}}
        _not_interrupted(jobs.run_job(Job(PREPARE, PREPARE, {**common, **data}), link))
        events.on_prepared()
        _tell(events, "running", "", parameters)
        done = jobs.last_checkpoint(run, TRIAL_ID)
        if done is not None:
            display.note(f"going on from step {done}")
        trained = trial_config(config if is_gated else config.model_copy(update={"overfit": None}))
        payload = {**common, "config": trained.model_dump(), "parameters": dict(parameters)}
        try:
            result = _not_interrupted(jobs.run_job(Job(TRIAL_ID, TRIAL, payload), link))
        except Exception as error:
            if not isinstance(error, Interrupted | EnvironmentFault):
                _tell(events, "failed", str(error) or type(error).__name__, parameters)
            raise
        _tell(events, result["status"], result["reason"], parameters)
    finally:
        jobs.forget_base()
    return result


def _tell(events: RunEvents, status: str, reason: str, parameters: Mapping[str, Any]) -> None:
    events.on_trial(TRIAL_ID, status, step=None, values={}, reason=reason, parameters=parameters)


def _not_interrupted(result: dict[str, Any]) -> dict[str, Any]:
    if "fault" in result:
        raise EnvironmentFault(str(result["fault"]))
    if result["status"] == "interrupted":
        raise Interrupted("stopped; run the same command again to go on where it was")
    return result


def _use_threads(config: SingleConfig) -> None:
    """As many threads as a worker of a sweep has, whose sums are then added in the same order."""
    import torch

    if not torch.cuda.is_available():
        torch.set_num_threads(max(1, int(config.resources.cpus_per_worker)))
