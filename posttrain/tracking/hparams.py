"""The HParams table of TensorBoard: every trial a row, gated, failed and running ones included.

The table is made from records that TensorBoard's plug-in finds in event files
(tensorboard/plugins/hparams/{api,plugin_data}.proto):

- one *experiment* record in the run's own folder: the columns, with types and domains. Without it the columns
  would be those of the first trial, and the parameters which that trial lacks would be missing;
- one *session* record per trial in the trial's folder: the row. The driver writes it when the trial is handed
  out (no end: TensorBoard shows the status UNKNOWN) and again when the trial has ended, with the end, the
  status, the reason, and two scalars that a curve's last value cannot tell: the objective at its best step,
  and its difference from the baseline.

TensorBoard keeps the first record of a kind that it reads, so a session is not amended but replaced: the new
file is put in place whole, then the old one is removed. A TensorBoard that was open all the time goes on
showing "started" in the column `status`, which therefore is never wrong; its own column Status, objective and
difference do follow.

A parameter that a trial does not have (a conditional one) is left out of its row and shown empty. A stand-in
text would break the table: TensorBoard's filters and sorting fail on a text in a numeric column.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo

from posttrain.paths import write_atomic
from posttrain.tracking import events
from posttrain.tracking.columns import Column, Objective, Value
from posttrain.tracking.metrics import Measured

STATUSES = ("started", "completed", "stopped", "gated", "failed")
DELTA_TAG = "delta_vs_baseline"

_TYPES = {
    "float": api_pb2.DATA_TYPE_FLOAT64,
    "string": api_pb2.DATA_TYPE_STRING,
    "bool": api_pb2.DATA_TYPE_BOOL,
}
# Every status that the program ends a trial with is a success of the program, but a fault.
_ENDS = dict.fromkeys(("completed", "stopped", "gated"), api_pb2.STATUS_SUCCESS) | {"failed": api_pb2.STATUS_FAILURE}


@dataclass(frozen=True)
class Session:
    """A row of the table.

    `ended` is false for a trial in flight; then the other fields below it are not used.
    """

    group: str
    parameters: Mapping[str, Value] = field(default_factory=dict)
    ended: bool = False
    status: str = "started"
    reason: str = ""
    objective: Measured | None = None
    delta: float | None = None


def write_experiment(run: Path, columns: Sequence[Column], objective: Objective, metrics: Iterable[str]) -> None:
    """Write the columns of the table into the run's folder, replacing those written before.

    `metrics` are further scalar tags to show with their last value ("held_out/loss", "held_out/psnr").
    """
    run.mkdir(parents=True, exist_ok=True)
    infos = [_hparam_info(column) for column in (*_outcome_columns(), *columns)]
    record = HParamsPluginData(
        experiment=api_pb2.Experiment(
            time_created_secs=time.time(), hparam_infos=infos, metric_infos=_metric_infos(objective, metrics)
        )
    )
    _replace(run, "experiment", [_record(metadata.EXPERIMENT_TAG, record)])


def write_session(trial: Path, session: Session, objective: Objective) -> None:
    """Write a trial's row into its folder, replacing the one written before.

    The trial's worker must not be writing at that time: call it before the trial is handed out and after its
    last report.
    """
    trial.mkdir(parents=True, exist_ok=True)
    assert session.status in STATUSES, f"unknown status {session.status!r}"
    values = [_record(metadata.SESSION_START_INFO_TAG, _start(trial, session))]
    if not session.ended:
        _replace(trial, "session", values)
        return
    end = SessionEndInfo(status=_ENDS[session.status], end_time_secs=time.time())
    values.append(_record(metadata.SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=end)))
    _replace(trial, "session", values, _outcome_events(session, objective))


def _start(trial: Path, session: Session) -> HParamsPluginData:
    begun = min((events.stamp(path) for path in events.event_files(trial)), default=time.time())
    start = SessionStartInfo(group_name=session.group, start_time_secs=begun)
    for name, value in {**session.parameters, "status": session.status, "reason": session.reason}.items():
        if isinstance(value, bool):
            start.hparams[name].bool_value = value
        elif isinstance(value, str):
            start.hparams[name].string_value = value
        else:
            start.hparams[name].number_value = value
    return HParamsPluginData(session_start_info=start)


def _outcome_events(session: Session, objective: Objective) -> list[Event]:
    if session.objective is None:
        return []
    values = {objective.tag: session.objective.value}
    if session.delta is not None:
        values[DELTA_TAG] = session.delta
    return [events.summary_event([events.scalar(tag, value) for tag, value in values.items()], session.objective.step)]


def _outcome_columns() -> list[Column]:
    meaning = (
        "How the trial ended; 'started' where it had not ended when TensorBoard first read it. "
        "Restart TensorBoard to see the latest."
    )
    return [
        Column("status", "string", choices=STATUSES, description=meaning),
        Column("reason", "string", description="Why the trial was stopped, gated or failed."),
    ]


def _metric_infos(objective: Objective, metrics: Iterable[str]) -> list[api_pb2.MetricInfo]:
    better = "lower" if objective.mode == "min" else "higher"
    described = {
        objective.tag: (f"{objective.metric} (best)", f"The objective at its best step; {better} is better."),
        DELTA_TAG: (
            f"{objective.metric} (best) - baseline",
            f"Difference from the base model; {'below' if better == 'lower' else 'above'} 0 is better.",
        ),
    }
    described |= {tag: (f"{tag} (last)", "The value at the trial's last evaluation.") for tag in metrics}
    return [
        api_pb2.MetricInfo(
            name=api_pb2.MetricName(tag=tag),
            display_name=title,
            description=text,
            dataset_type=api_pb2.DATASET_VALIDATION,
        )
        for tag, (title, text) in described.items()
    ]


def _hparam_info(column: Column) -> api_pb2.HParamInfo:
    info = api_pb2.HParamInfo(name=column.name, type=_TYPES[column.kind], description=column.description)
    if column.interval is not None:
        info.domain_interval.min_value, info.domain_interval.max_value = column.interval
    elif column.choices:
        info.domain_discrete.extend(column.choices)
    return info


def _record(tag: str, content: HParamsPluginData) -> Summary.Value:
    summary_metadata = metadata.create_summary_metadata(content)
    return Summary.Value(tag=tag, metadata=summary_metadata, tensor=metadata.NULL_TENSOR)


def _replace(folder: Path, role: str, records: Sequence[Summary.Value], more: Sequence[Event] = ()) -> None:
    before = [path for path in events.event_files(folder) if path.name.endswith(f".{role}")]
    write_atomic(events.new_path(folder, role), events.encode([events.summary_event(records, step=0), *more]))
    for path in before:
        path.unlink(missing_ok=True)
