"""The HParams table, asked of the real TensorBoard backend: every trial is a row, every parameter a column."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from tensorboard import context
from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
from tensorboard.plugins import base_plugin
from werkzeug.test import Client

from posttrain.config import Choice, SweepConfig, merge, trial_config
from posttrain.paths import RunPaths
from posttrain.tracking.columns import table_columns
from posttrain.tracking.sessions import HParamsTable
from posttrain.tracking.tensorboard import TrialBoard

with warnings.catch_warnings():
    # a library that TensorBoard carries with it warns of its own age
    warnings.simplefilter("ignore", DeprecationWarning)
    from tensorboard.plugins.hparams import hparams_plugin

SWEEP: dict[str, Any] = {
    "name": "warehouse-lora",
    "model": {"checkpoint": "tiny:predict2.5"},
    "strategy": {"type": "lora"},
    "data": {
        "sources": {"ego": {"path": "demo:shapes/tracking-high"}, "cctv": {"path": "demo:shapes/fixed-low"}},
        "stages": [{"name": "broad", "fraction": 1.0}],
    },
    "training": {"steps": 60, "batch_size": 8, "learning_rate": 1e-4},
    "search_space": {
        "training.learning_rate": {"loguniform": [1e-5, 1e-3]},
        "strategy.rank": {"choice": [4, 8, 16]},
        "training.schedule": {"choice": ["cosine", "linear"]},
        "training.gradient_checkpointing": {"choice": [True, False]},
        "training.warmup": {"uniform": [0.0, 0.2], "when": {"training.schedule": "cosine"}},
        "data.stages.broad.weights": {"simplex": ["ego", "cctv"], "min": 0.1},
    },
    "search": {"trials": 5},
}
STATUSES = ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"]


class Backend:
    """TensorBoard's HParams plug-in on a log directory, in this process, asked over its HTTP routes."""

    def __init__(self, logdir: Path) -> None:
        self._multiplexer = plugin_event_multiplexer.EventMultiplexer()
        self._logdir = str(logdir)
        provider = data_provider.MultiplexerDataProvider(self._multiplexer, self._logdir)
        plugin = hparams_plugin.HParamsPlugin(base_plugin.TBContext(data_provider=provider))
        self._routes = {route: Client(app) for route, app in plugin.get_plugin_apps().items()}
        self.reload()

    def reload(self) -> None:
        self._multiplexer.AddRunsFromDirectory(self._logdir)
        self._multiplexer.Reload()

    def experiment(self) -> dict[str, Any]:
        return self._ask("/experiment", {})

    def rows(self, columns: list[dict[str, Any]] | None = None) -> dict[str, dict[str, Any]]:
        request = {"allowedStatuses": STATUSES, "colParams": columns or [], "startIndex": 0, "sliceSize": 100}
        answer = self._ask("/session_groups", request)
        assert answer["totalSize"] == len(answer["sessionGroups"])
        return {group["name"]: group for group in answer["sessionGroups"]}

    def _ask(self, route: str, body: dict[str, Any]) -> dict[str, Any]:
        environment: dict[str, Any] = {}
        context.set_in_environ(environment, context.RequestContext())
        response = self._routes[route].post("/", json=body, environ_overrides=environment)
        assert response.status_code == 200, response.text
        return json.loads(response.text)


def _parameters(rate: float, rank: int, *, schedule: str = "linear", weight: float = 0.5) -> dict[str, Any]:
    drawn = {
        "training.learning_rate": rate,
        "strategy.rank": rank,
        "training.schedule": schedule,
        "training.gradient_checkpointing": rank > 4,
        "data.stages.broad.weights": {"ego": weight, "cctv": 1 - weight},
    }
    return drawn | ({"training.warmup": 0.1} if schedule == "cosine" else {})


DRAWN = {
    "t0000": {},
    # the first row has no warm-up: columns must not come from the first row
    "t0001": _parameters(1e-4, 4),
    "t0002": _parameters(1e-5, 8, schedule="cosine"),
    "t0003": _parameters(1e-3, 16, weight=0.1),
    "t0004": _parameters(2e-4, 4, schedule="cosine"),
    "t0005": _parameters(3e-4, 8),
}


def _result(trial_id: str, status: str, value: float | None, step: int, reason: str = "") -> dict[str, Any]:
    objective = None if value is None else {"metric": "held_out/loss", "mode": "min", "value": value, "step": step}
    return {
        "id": trial_id,
        "status": status,
        "reason": reason,
        "parameters": DRAWN[trial_id],
        "objective": objective,
    }


RESULTS = [
    _result("t0000", "completed", 0.5, 0),
    _result("t0001", "completed", 0.3, 40),
    _result("t0002", "stopped", 0.45, 12, "3 of 4 trials did better at step 12"),
    _result("t0003", "gated", None, 0, "the loss did not close"),
    _result("t0004", "failed", None, 18, "loss is NaN at step 18"),
]


@pytest.fixture(scope="module")
def config() -> SweepConfig:
    return SweepConfig.model_validate(SWEEP)


@pytest.fixture
def run(tmp_path: Path) -> RunPaths:
    return RunPaths(tmp_path / "runs" / "warehouse-lora")


@pytest.fixture
def table(run: RunPaths, config: SweepConfig) -> HParamsTable:
    assert isinstance(config.search_space, dict)
    table = HParamsTable(run, config, config.search_space)
    table.create()
    base = trial_config(config)
    for trial_id, drawn in DRAWN.items():
        table.started(trial_id, merge(base, drawn), drawn)
    for trial_id, steps in {"t0000": 1, "t0001": 60, "t0002": 13, "t0005": 30}.items():
        with TrialBoard(run.trial(trial_id).root) as board:
            for step in range(steps):
                board.scalars({"held_out/loss": 0.5 - 0.001 * step}, step)
    for result in RESULTS:
        table.ended(result, merge(base, result["parameters"]), 0.5)
    return table


def _metrics(row: dict[str, Any]) -> dict[str, tuple[float, int]]:
    return {m["name"]["tag"]: (pytest.approx(m["value"]), m["trainingStep"]) for m in row["metricValues"]}


@pytest.mark.usefixtures("table")
def test_every_trial_is_a_row_with_status_reason_and_outcome(run: RunPaths) -> None:
    rows = Backend(run.root).rows()
    assert sorted(rows) == [f"warehouse-lora/{trial_id}" for trial_id in DRAWN]
    ends = {name[-5:]: (row["hparams"]["status"], row["sessions"][0]["status"]) for name, row in rows.items()}
    assert ends == {
        "t0000": ("completed", "STATUS_SUCCESS"),
        "t0001": ("completed", "STATUS_SUCCESS"),
        "t0002": ("stopped", "STATUS_SUCCESS"),
        "t0003": ("gated", "STATUS_SUCCESS"),
        "t0004": ("failed", "STATUS_FAILURE"),
        "t0005": ("started", "STATUS_UNKNOWN"),
    }
    assert rows["warehouse-lora/t0004"]["hparams"]["reason"] == "loss is NaN at step 18"
    assert _metrics(rows["warehouse-lora/t0001"]) == {
        "best/held_out/loss": (0.3, 40),
        "delta_vs_baseline": (-0.2, 40),
        "held_out/loss": (0.441, 59),
    }
    assert _metrics(rows["warehouse-lora/t0000"])["delta_vs_baseline"] == (0.0, 0)
    assert _metrics(rows["warehouse-lora/t0005"]) == {"held_out/loss": (0.471, 29)}
    assert _metrics(rows["warehouse-lora/t0003"]) == {}


@pytest.mark.usefixtures("table")
def test_every_parameter_is_a_column_with_its_type_and_domain(run: RunPaths) -> None:
    experiment = Backend(run.root).experiment()
    columns = {info["name"]: info for info in experiment["hparamInfos"]}
    assert set(SWEEP["search_space"]) - {"data.stages.broad.weights"} <= set(columns)
    assert columns["training.learning_rate"]["type"] == "DATA_TYPE_FLOAT64"
    assert columns["training.learning_rate"]["domainInterval"] == {"minValue": 1e-5, "maxValue": 1e-3}
    assert columns["strategy.rank"]["domainDiscrete"] == [4, 8, 16]
    assert columns["training.schedule"]["type"] == "DATA_TYPE_STRING"
    assert columns["training.gradient_checkpointing"]["type"] == "DATA_TYPE_BOOL"
    assert columns["data.stages.broad.weights.ego"]["domainInterval"]["minValue"] == pytest.approx(0.1)
    assert {"status", "reason", "model.checkpoint", "training.batch_size", "training.seed"} <= set(columns)
    titles = [info["displayName"] for info in experiment["metricInfos"]]
    assert titles == [
        "held_out/loss (best)",
        "held_out/loss (best) - baseline",
        "held_out/loss (last)",
        "held_out/psnr (last)",
    ]


@pytest.mark.usefixtures("table")
def test_cells_are_the_drawn_values_and_the_fixed_settings(run: RunPaths) -> None:
    rows = Backend(run.root).rows()
    drawn = rows["warehouse-lora/t0003"]["hparams"]
    assert drawn["training.learning_rate"] == 1e-3
    assert drawn["data.stages.broad.weights.cctv"] == pytest.approx(0.9)
    assert drawn["training.gradient_checkpointing"] is True
    assert drawn["training.batch_size"] == 8
    assert "training.warmup" not in drawn, "not drawn in this trial, so an empty cell"
    assert rows["warehouse-lora/t0002"]["hparams"]["training.warmup"] == 0.1
    baseline = rows["warehouse-lora/t0000"]["hparams"]
    assert baseline == {"model.checkpoint": "tiny:predict2.5", "status": "completed", "reason": ""}


@pytest.mark.usefixtures("table")
def test_every_column_can_be_sorted_and_filtered(run: RunPaths) -> None:
    backend = Backend(run.root)
    experiment = backend.experiment()
    for info in experiment["hparamInfos"]:
        column: dict[str, Any] = {"hparam": info["name"], "order": "ORDER_ASC"}
        if info["type"] == "DATA_TYPE_FLOAT64" and "domainDiscrete" not in info:
            column["filterInterval"] = {"minValue": "-Infinity", "maxValue": "Infinity"}
        elif "domainDiscrete" in info:
            column["filterDiscrete"] = info["domainDiscrete"]
        else:
            column["filterRegexp"] = ""
        assert len(backend.rows([column])) == len(DRAWN), info["name"]
    best = {"metric": {"tag": "best/held_out/loss", "group": ""}, "order": "ORDER_ASC"}
    assert next(iter(backend.rows([best]))) == "warehouse-lora/t0001"


def test_a_restarted_driver_doubles_nothing(run: RunPaths, table: HParamsTable, config: SweepConfig) -> None:
    before = Backend(run.root).rows()
    files = len(list(run.root.rglob("events.out.tfevents.*")))
    table.create()
    base = trial_config(config)
    for result in RESULTS:
        table.ended(result, merge(base, result["parameters"]), 0.5)
    table.ended(_result("t0005", "interrupted", 0.4, 20), merge(base, DRAWN["t0005"]), 0.5)
    after = Backend(run.root).rows()
    assert {name: (row["hparams"], _metrics(row)) for name, row in after.items()} == {
        name: (row["hparams"], _metrics(row)) for name, row in before.items()
    }
    assert len(list(run.root.rglob("events.out.tfevents.*"))) == files


def test_a_tensorboard_that_is_open_all_the_time_follows(
    run: RunPaths, table: HParamsTable, config: SweepConfig
) -> None:
    backend = Backend(run.root)
    running = backend.rows()["warehouse-lora/t0005"]
    with TrialBoard(run.trial("t0005").root, first_step=21) as board:  # resumed from step 20
        for step in range(21, 41):
            board.scalars({"held_out/loss": 0.2}, step)
    table.ended(_result("t0005", "completed", 0.2, 21), merge(trial_config(config), DRAWN["t0005"]), 0.5)
    backend.reload()
    row = backend.rows()["warehouse-lora/t0005"]
    assert row["sessions"][0]["status"] == "STATUS_SUCCESS"
    assert _metrics(row)["best/held_out/loss"] == (0.2, 21)
    assert _metrics(row)["delta_vs_baseline"] == (-0.3, 21)
    assert _metrics(row)["held_out/loss"] == (0.2, 40)
    # TensorBoard keeps the first text it read until it is restarted; "started" is true of an ended trial as well
    assert row["hparams"]["status"] == running["hparams"]["status"] == "started"
    assert Backend(run.root).rows()["warehouse-lora/t0005"]["hparams"]["status"] == "completed"


def test_sweeps_under_one_log_directory_are_kept_apart(tmp_path: Path, config: SweepConfig) -> None:
    assert isinstance(config.search_space, dict)
    for name in ("first", "second"):
        other = config.model_copy(update={"name": name})
        table = HParamsTable(RunPaths(tmp_path / name), other, config.search_space)
        table.create()
        table.started("t0001", merge(trial_config(other), DRAWN["t0001"]), DRAWN["t0001"])
    assert sorted(Backend(tmp_path).rows()) == ["first/t0001", "second/t0001"]


def test_columns_reach_as_far_as_the_files_own_values() -> None:
    """TensorBoard hides rows outside of a column's interval, and cannot sort texts among numbers."""
    own = {"training": {**SWEEP["training"], "learning_rate": 0.02}, "strategy": {"type": "lora", "rank": 24}}
    stages = [{"name": "broad", "fraction": 1.0, "weights": {"ego": 1.0, "cctv": 0.0}}]
    config = SweepConfig.model_validate({**SWEEP, **own, "data": {**SWEEP["data"], "stages": stages}})
    columns = {column.name: column for column in table_columns(config, config.search_space)}
    assert columns["training.learning_rate"].interval == (1e-5, 0.02)
    assert columns["strategy.rank"].choices == (4, 8, 16, 24)
    assert columns["strategy.rank"].kind == "float"
    assert columns["data.stages.broad.weights.cctv"].interval == (0.0, 1.0)
    space = {**config.search_space, "strategy.alpha": Choice(choice=(8.0, 16.0))}
    unset = {column.name: column for column in table_columns(config, space)}["strategy.alpha"]
    assert (unset.kind, unset.choices) == ("float", (8.0, 16.0))
