#!/usr/bin/env bash
# Ray Tune: a trial that raised stands in TensorBoard's HParams table as a success.
#
# Versions: ray[tune] 2.60.0, tensorboard 2.21.0, tensorboardX as ray[tune] installs it, Python 3.11 on Linux.
# Expected: the HParams record that Tune's TensorBoard logger writes for a trial ends with STATUS_FAILURE when the trial
#           raised (results.num_errors counts it).
# Seen:     the record of the trial that raised says STATUS_SUCCESS, like that of the one that finished. Nothing else in
#           the event files tells the two apart.
# Output (2026-11-28): trial 0: raised False, STATUS_SUCCESS; trial 1: raised True, STATUS_SUCCESS
set -euo pipefail

pins=("ray[tune]==2.60.0" tensorboard==2.21.0)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=${FINDINGS_PYTHON:-} # a Python that has the pinned versions already; else a fresh virtual environment
if [ -z "$python" ]; then
    python3 -m venv "$work/venv"
    python=$work/venv/bin/python
    "$python" -m pip install --quiet "${pins[@]}"
fi
cd "$work"
export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0 RAY_worker_niceness=0 RAY_AIR_NEW_OUTPUT=0
"$python" - "${pins[@]}" <<'EOF'
import importlib.metadata
import sys

for name, _, wanted in (pin.partition("==") for pin in sys.argv[1:]):
    found = importlib.metadata.version(name.partition("[")[0]).partition("+")[0]
    assert found == wanted, f"{name} {found} is installed, {wanted} was pinned"

import logging
import tempfile

import ray
from ray import tune
from ray.tune.logger import TBXLoggerCallback
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2

logging.getLogger("ray").setLevel(logging.CRITICAL)


def train(config):
    tune.report({"loss": 1.0})
    if config["x"] == 1:
        raise ValueError("this trial fails")


def status(folder):
    """How the trial ended, from its HParams record."""
    events = EventAccumulator(folder)
    events.Reload()
    content = events.summary_metadata["_hparams_/session_end_info"].plugin_data.content
    end = plugin_data_pb2.HParamsPluginData.FromString(content).session_end_info
    return api_pb2.Status.Name(end.status)


ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="CRITICAL")
with tempfile.TemporaryDirectory() as storage:
    results = tune.Tuner(
        train,
        param_space={"x": tune.grid_search([0, 1])},
        run_config=tune.RunConfig(storage_path=storage, verbose=0, callbacks=[TBXLoggerCallback()]),
    ).fit()
    shown = {result.config["x"]: (status(result.path), result.error is not None) for result in results}
for x, (name, raised) in sorted(shown.items()):
    print(f"trial {x}: raised {raised}, HParams says {name}")
assert shown == {0: ("STATUS_SUCCESS", False), 1: ("STATUS_SUCCESS", True)}, shown
EOF
