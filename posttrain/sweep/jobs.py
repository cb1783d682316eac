"""What a slot's workers do: prepare the sweep once, then gate and train one configuration after the other.

`run_job` is the job function of every worker, and what `posttrain train` calls in its own process. The base model, its
encodings and the sample lists stay in `_WARM` from job to job; everything a trial adds is taken off again by
`training.train`.
"""

import gc
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from posttrain.config import DataConfig, TrialConfig
from posttrain.data import read_splits
from posttrain.errors import EnvironmentFault, PosttrainError
from posttrain.evaluation.ranks import agree, together, world
from posttrain.overfit.gate import gate
from posttrain.overfit.short import OnStep
from posttrain.overfit.verdict import Verdict
from posttrain.paths import RunPaths, TrialPaths, write_atomic, write_json_atomic
from posttrain.sweep.corners import LAST_RESORT
from posttrain.sweep.protocol import OBJECTIVE, PREPARE, TRIAL, Job, Link
from posttrain.tracking.columns import BASELINE_ID
from posttrain.tracking.results import Outcome, read_result, result_document
from posttrain.training.checkpoints import Checkpoints
from posttrain.training.observer import EvaluationRecord, StepRecord, StopRequested
from posttrain.training.reads import Reads
from posttrain.training.records import TrialRecords
from posttrain.training.train import best_and_last, train
from posttrain.training.workbench import Workbench, open_workbench

_WARM: dict[str, Workbench] = {}


def run_job(job: Job, link: Link) -> dict[str, Any]:
    """Runs one job on this worker; rank 0's result is the job's.

    A fault of the environment is no trial's fault: it is returned as `fault`, the trial stays open, and the sweep ends.
    """
    run = RunPaths(Path(job.payload["run"]))
    try:
        return _run_job(job, run, link)
    except Exception:
        if job.kind == TRIAL:  # the table tells the cause in a line; this is for whoever looks into it
            run.trial(job.id).root.mkdir(parents=True, exist_ok=True)
            write_atomic(run.trial(job.id).error_txt, traceback.format_exc())
        raise


def _run_job(job: Job, run: RunPaths, link: Link) -> dict[str, Any]:
    config = TrialConfig.model_validate(job.payload["config"])
    try:
        _check_shared(run)
        bench = _bench(config, run, Path(job.payload["base_dir"]), link)
        return {PREPARE: _prepare, TRIAL: _trial}[job.kind](job, config, bench, run, link)
    except StopRequested:
        return {"status": "interrupted"}
    except EnvironmentFault as fault:
        return {"status": "interrupted", "fault": str(fault)}
    except torch.OutOfMemoryError as error:
        raise PosttrainError(
            f"out of GPU memory: lower training.micro_batch_size (now {config.training.micro_batch_size}) or turn on "
            f"training.gradient_checkpointing ({str(error).splitlines()[0]})"
        ) from error


def _check_shared(run: RunPaths) -> None:
    if not run.manifest_jsonl.is_file():
        raise EnvironmentFault(
            f"{run.manifest_jsonl} is not visible on this node; the run directory and the cache must lie on storage "
            "that every node of the cluster shares"
        )


def _bench(config: TrialConfig, run: RunPaths, base_dir: Path, link: Link) -> Workbench:
    """The warm workbench of this model, precision and data; loaded when this process does not hold it yet."""
    key = f"{config.model.model_dump_json()}:{config.training.precision}:{run.root}"
    if key not in _WARM:
        forget_base()  # two base models at once may not fit into the memory of a GPU
        _WARM[key] = open_workbench(config, read_splits(run), base_dir, lambda text: link.note({"doing": text}))
        gc.collect()
        gc.freeze()  # the Trainer collects garbage twice a trial: half a second over libraries that never go away
    return _WARM[key]


def forget_base() -> None:
    """Frees the base model that this process keeps from job to job."""
    gc.unfreeze()
    _WARM.clear()
    gc.collect()


def last_checkpoint(run: RunPaths, trial_id: str) -> int | None:
    """The step that a trial would go on from."""
    return Checkpoints(run.trial(trial_id).checkpoints).last()


def _prepare(job: Job, config: TrialConfig, bench: Workbench, run: RunPaths, link: Link) -> dict[str, Any]:
    samples = "clips" if bench.size_unit == "frames" else "rows"
    link.note({"doing": f"encoding {samples}"})
    bench.encode(
        bench.samples(),
        lambda done, total: link.note({"doing": f"encoding {samples}", "done": done, "total": total}),
        link.should_stop,
        Reads.of_sweep(DataConfig.model_validate(job.payload["data"]), bench.dataset.train, job.payload["searched"]),
    )
    trial = run.trial(BASELINE_ID)
    _baseline(job, config, bench, trial, link)
    verdicts: dict[str, dict[str, Any]] = {}
    for name, document in job.payload["gate"].items():
        if name == LAST_RESORT and any(verdict["passed"] for verdict in verdicts.values()):
            break
        link.note({"doing": f"gate: {name}"})
        counted = _counted(link, {"doing": f"gate: {name}", "unit": "step"}, ("done", "total"))
        verdict = gate(TrialConfig.model_validate(document), bench, link.should_stop, counted)
        verdicts[name] = verdict.to_dict()
        link.note({"gate": name, "passed": verdict.passed, "reason": verdict.reason})
    return {"status": "completed", "gate": verdicts}


def _baseline(job: Job, config: TrialConfig, bench: Workbench, trial: TrialPaths, link: Link) -> None:
    """Trial 0; an earlier start may have measured it already."""
    if agree(trial.result_json.is_file(), bench.device):
        return
    link.note({"doing": "measuring the base model"})
    measured = bench.evaluate(config, None)
    ceilings = bench.ceilings(config)
    with together():
        with TrialRecords.open(trial if world()[0] == 0 else None, None) as records:
            records.evaluation(0, measured)
            outcome = Outcome("completed", "the base model", 0, best_and_last(records.history()))
        if world()[0] == 0:
            document = result_document(BASELINE_ID, {}, outcome, config.training.seed, job.payload["objective"])
            write_json_atomic(trial.result_json, {**document, "codec_psnr": ceilings})


def _trial(job: Job, config: TrialConfig, bench: Workbench, run: RunPaths, link: Link) -> dict[str, Any]:
    trial = run.trial(job.id)
    ended = read_result(trial)
    if ended is not None and ended["status"] != "interrupted":  # its driver was killed before it could close it
        return _with_value(ended)
    if "invalid" in job.payload:
        outcome = Outcome("gated", f"no valid configuration: {job.payload['invalid']}", 0)
        return _finish(job, trial, outcome, config)
    began = time.perf_counter()
    verdict = _gate(config, bench, trial, link)
    gate_seconds = time.perf_counter() - began  # not the verdict's own, which may be from the cache
    if verdict is not None and not verdict.passed:
        outcome = Outcome("gated", verdict.reason, 0, seconds={"gate": gate_seconds})
        return {**_finish(job, trial, outcome, config), "gate_score": verdict.score}
    outcome = train(config, bench, trial, LinkObserver(link, job.payload["objective"]["metric"], config.training.steps))
    if verdict is not None:
        outcome.seconds["gate"] = gate_seconds
    lost = outcome.encodings["encoded_again"]
    if lost:
        link.note({"text": f"{job.id}: {lost} encodings were gone from the cache or damaged, and were made again"})
    return _finish(job, trial, outcome, config)


def _finish(job: Job, trial: TrialPaths, outcome: Outcome, config: TrialConfig) -> dict[str, Any]:
    document = result_document(
        job.id, job.payload["parameters"], outcome, config.training.seed, job.payload["objective"]
    )
    if world()[0] == 0:
        trial.root.mkdir(parents=True, exist_ok=True)
        write_json_atomic(trial.result_json, document)
    return _with_value(document)


def _with_value(document: dict[str, Any]) -> dict[str, Any]:
    """A job's result: the trial's, with the objective where the study looks for it."""
    return {**document, "value": (document["objective"] or {}).get("value")}


def _gate(config: TrialConfig, bench: Workbench, trial: TrialPaths, link: Link) -> Verdict | None:
    if config.overfit is None:
        return None
    link.note({"phase": "gate"})
    verdict = gate(config, bench, link.should_stop, _counted(link, {"phase": "gate"}, ("step", "steps")))
    with together():
        if world()[0] == 0:
            trial.root.mkdir(parents=True, exist_ok=True)
            write_json_atomic(trial.overfit_json, verdict.to_dict())
    return verdict


NOTES_EVERY_S = 0.5


def _counted(link: Link, note: Mapping[str, Any], names: tuple[str, str]) -> OnStep:
    """Sends a note with each step that is done and the number of them, under these names."""
    paced = Paced(link)
    return lambda step, steps: paced({**note, names[0]: step, names[1]: steps})


class Paced:
    """Passes on notes about steps, of which there may be hundreds a second, no oftener than the display is drawn."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._sent = -NOTES_EVERY_S

    def __call__(self, note: Mapping[str, Any], *, at_once: bool = False) -> None:
        now = time.monotonic()
        if at_once or now - self._sent >= NOTES_EVERY_S:
            self._sent = now
            self._link.note(note)


class LinkObserver:
    """Hands a trial's records to the search: evaluations wait for the scheduler, steps go to the display."""

    def __init__(self, link: Link, metric: str, steps: int) -> None:
        self._link = link
        self._metric = metric
        self._steps = steps
        self._paced = Paced(link)

    def on_progress(self, step: int, phase: str) -> None:
        is_evaluation = phase == "evaluating"
        self._paced({"phase": phase, "step": step, "steps": self._steps}, at_once=is_evaluation)

    def on_step(self, record: StepRecord) -> None:
        self._link.note({"step": record.step, **record.values})

    def on_evaluation(self, record: EvaluationRecord) -> str | None:
        values: Mapping[str, float] = record.values
        if self._metric in values:
            values = {**values, OBJECTIVE: values[self._metric]}
        return self._link.report(record.step, values)

    def should_stop(self) -> bool:
        return self._link.should_stop()
