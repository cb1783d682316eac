"""Runs a sweep's jobs on Ray: session, slots, Tune, interrupts, and a clean end.

`run_sweep` is all that the rest of the program needs. It blocks until every trial is closed in the study, an
interrupt has stopped them in order, or the environment fails, and it leaves no actor and no placement group behind.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from typing import Any

from posttrain.errors import Interrupted
from posttrain.sweep.interrupts import Interrupt, interrupts
from posttrain.sweep.ledger import Events, Ledger
from posttrain.sweep.plan import GroupSize, SweepOutcome, SweepPlan
from posttrain.sweep.protocol import PREPARE, JobFunction, Outcome
from posttrain.sweep.ray_session import living_nodes, ray_session
from posttrain.sweep.study import StudyBook, TrialRecord

CLEAN_S = 20.0
"""How long an ended sweep waits for its actors and placement groups to be gone."""


def run_sweep(
    plan: SweepPlan,
    book: StudyBook,
    job_function: JobFunction,
    *,
    prepare: Mapping[str, Any],
    prepared: Callable[[Outcome], None],
    payload: Callable[[str, Mapping[str, Any]], Mapping[str, Any]],
    events: Events,
) -> SweepOutcome:
    """Prepare on one slot, then run the study's trials on all of them.

    `prepared` gets the preparation's outcome before any trial starts and may raise a PosttrainError to end the
    sweep (the outcome's status is "failed" when the preparation raised). `payload(trial id, parameters)` makes a
    trial's payload.

    Raises Interrupted after a Ctrl-C or SIGTERM (trials in flight stay open in the study and continue at the next
    start), EnvironmentFault when the cluster cannot hold a slot, and what `prepared` or `payload` raised.
    """
    began = time.monotonic()
    outcome = SweepOutcome(records=[])

    def keep_preparation(prepared_outcome: Outcome) -> None:
        outcome.prepare = prepared_outcome
        outcome.seconds["prepare"] = time.monotonic() - began - outcome.seconds["ray"]
        prepared(prepared_outcome)

    ledger = Ledger(
        book,
        events,
        trials=plan.trials,
        prepare=prepare,
        prepared=keep_preparation,
        payload=payload,
        max_retries=plan.max_retries,
    )
    events.on_progress(PREPARE, {"doing": f"connecting to Ray at {plan.address}" if plan.address else "starting Ray"})
    with interrupts() as interrupt, ray_session(plan.address) as outlives:
        interrupt.install()  # again: ray.init has set its own SIGTERM handler
        outcome.seconds["ray"] = time.monotonic() - began
        try:
            outcome.slots = _run(plan, book, ledger, job_function, events, interrupt, outlives)
        except KeyboardInterrupt as error:
            raise Interrupted("stopped at once; trials go on from their last checkpoints") from error
    outcome.seconds["total"] = time.monotonic() - began
    outcome.records = book.records()
    if ledger.fault is not None:
        raise ledger.fault
    if interrupt.asked and not _all_closed(plan, outcome.records):
        raise Interrupted("stopped; run the same command again to go on where it was")
    return outcome


def _all_closed(plan: SweepPlan, records: list[TrialRecord]) -> bool:
    return len(records) >= plan.trials and all(record.status != "running" for record in records)


def _run(
    plan: SweepPlan,
    book: StudyBook,
    ledger: Ledger,
    job_function: JobFunction,
    events: Events,
    interrupt: Interrupt,
    outlives: bool,
) -> int:
    import ray
    from ray import cloudpickle
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from posttrain.sweep.capacity import choose_slots
    from posttrain.sweep.driver import DriverCallback
    from posttrain.sweep.mailbox import Mailbox
    from posttrain.sweep.reaper import Reaper
    from posttrain.sweep.slot import SlotSpec

    reaper = Reaper()
    nodes = living_nodes()
    size = _group_size(plan, nodes)
    slots = choose_slots(plan.slots, size, nodes, wanted=plan.trials)
    scratch = plan.scratch.absolute()
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    mailbox = ray.remote(num_cpus=0, max_concurrency=10_000, scheduling_strategy=here)(Mailbox).remote()
    spec = SlotSpec(
        mailbox=mailbox,
        job_function=cloudpickle.dumps(job_function),
        size=size,
        storage=str(scratch),
        max_retries=plan.max_retries,
        start_timeout_s=plan.start_timeout_s,
    )
    events.on_note(f"{slots} slot{'s' if slots > 1 else ''} of {size.workers} worker{'s' if size.workers > 1 else ''}")
    events.on_progress(PREPARE, {"slots": slots, "doing": "starting the first worker"})
    at_once = False
    try:
        _fit(plan, book, ledger, spec, slots, DriverCallback(mailbox, ledger, events, interrupt, reaper))
    except KeyboardInterrupt:
        at_once = True  # nothing to wait for: the rest dies with this driver's connection to Ray
        raise
    finally:
        events.on_progress(PREPARE, {"doing": "ending Ray's workers"})
        ray.kill(mailbox)
        # an embedded Ray ends with this sweep, and all that it holds with it
        remaining = reaper.wait_until_clean(CLEAN_S) if outlives and not at_once else {}
        shutil.rmtree(scratch, ignore_errors=True)
    if any(remaining.values()):
        held = f"{remaining['actors']} actors and {remaining['placement_groups']} placement groups"
        events.on_note(f"Ray still holds {held}")
    return slots


def _fit(
    plan: SweepPlan,
    book: StudyBook,
    ledger: Ledger,
    spec: Any,
    slots: int,
    driver: Any,
) -> None:
    import ray
    from ray import tune

    from posttrain.sweep.scheduler import Asha, SweepScheduler
    from posttrain.sweep.searcher import SweepSearcher
    from posttrain.sweep.slot import Slot

    def stop(job_id: str, reason: str) -> None:
        # Waits for the mailbox: the stop must be there before Tune lets the slot ask for the next event.
        ray.get(spec.mailbox.stop.remote(job_id, reason))

    searcher = SweepSearcher(ledger, slots)
    asha = Asha(plan.asha, book.mode, book.records()) if plan.asha else None
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(Slot, spec=spec), {"CPU": 0.001}),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=SweepScheduler(asha, stop, searcher.keep_cause),
            num_samples=-1,
            max_concurrent_trials=slots,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: str(trial.trial_id),
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=spec.storage,
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
            callbacks=[driver],
        ),
    )
    tuner.fit()


def _group_size(plan: SweepPlan, nodes: list[Mapping[str, float]]) -> GroupSize:
    gpus = plan.gpus_per_worker
    if gpus is None:
        gpus = 1.0 if any(node.get("GPU", 0) for node in nodes) else 0.0
    return GroupSize(plan.workers, plan.cpus_per_worker, gpus)
