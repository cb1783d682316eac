#!/usr/bin/env bash
# Ray Tune: one trial that ends without reporting the metric ends the search for all, although it raised nothing.
#
# Versions: ray[tune] 2.60.0, Python 3.11 on Linux.
# Expected: a trial that returns before its first report (a filter left it no data, say) counts as one without result;
#           the others run on.
# Seen:     Tuner.fit() raises TuneError, and the trials that had not started yet never run. With
#           TUNE_DISABLE_STRICT_METRIC_CHECKING=1 all of them run, and nothing is raised.
# Output (2026-11-28): by default 1 of 4 trials ran, TuneError; without the check 4 of 4, nothing raised
set -euo pipefail

pins=("ray[tune]==2.60.0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=${FINDINGS_PYTHON:-} # a Python that has the pinned versions already; else a fresh virtual environment
if [ -z "$python" ]; then
    python3 -m venv "$work/venv"
    python=$work/venv/bin/python
    "$python" -m pip install --quiet "${pins[@]}"
fi
cd "$work"
export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0 RAY_worker_niceness=0
export TUNE_DISABLE_AUTO_CALLBACK_LOGGERS=1 RAY_AIR_NEW_OUTPUT=0
"$python" - "${pins[@]}" <<'EOF'
import importlib.metadata
import sys

for name, _, wanted in (pin.partition("==") for pin in sys.argv[1:]):
    found = importlib.metadata.version(name.partition("[")[0]).partition("+")[0]
    assert found == wanted, f"{name} {found} is installed, {wanted} was pinned"

import os
import tempfile

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler


def train(config):
    with open(os.path.join(config["folder"], str(config["x"])), "w"):
        pass
    if config["x"] == 0:
        return  # nothing to report
    tune.report({"loss": config["x"]})


def search(strict):
    """The trials that ran, and what fit() raised."""
    os.environ["TUNE_DISABLE_STRICT_METRIC_CHECKING"] = "0" if strict else "1"
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as storage:
        tuner = tune.Tuner(
            train,
            param_space={"x": tune.grid_search([0, 1, 2, 3]), "folder": folder},
            tune_config=tune.TuneConfig(metric="loss", mode="min", scheduler=ASHAScheduler(), max_concurrent_trials=1),
            run_config=tune.RunConfig(storage_path=storage, verbose=0),
        )
        raised = None
        try:
            tuner.fit()
        except Exception as error:
            raised = error
        return len(os.listdir(folder)), raised


ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
ran, raised = search(strict=True)
print(f"by default: {ran} of 4 trials ran, fit() raised {type(raised).__name__}")
assert ran < 4
assert type(raised).__name__ == "TuneError"
ran, raised = search(strict=False)
print(f"with TUNE_DISABLE_STRICT_METRIC_CHECKING=1: {ran} of 4 trials ran, fit() raised {raised}")
assert (ran, raised) == (4, None)
EOF
