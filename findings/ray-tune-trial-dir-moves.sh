#!/usr/bin/env bash
# Ray Tune: with reuse_actors, get_trial_dir() of every trial but an actor's first is a folder that nobody keeps.
#
# Versions: ray[tune] 2.60.0, Python 3.11 on Linux.
# Expected: tune.get_context().get_trial_dir() names a folder whose files end up beside the trial's results.
# Seen:     an actor's first trial is given .../driver_artifacts/<trial>, which Tune copies to storage_path. From the
#           second trial of the same actor on it is .../working_dirs/<trial>, which is not copied: what was written
#           there is missing from storage_path, without a warning.
# Output (2026-11-28): driver_artifacts, working_dirs, working_dirs; file in storage_path: True, False, False
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
import pathlib
import tempfile

import ray
from ray import tune

KINDS = ("driver_artifacts", "working_dirs")


def train(config):
    folder = tune.get_context().get_trial_dir()
    os.makedirs(folder, exist_ok=True)
    pathlib.Path(folder, "curve.txt").write_text("what the trial wrote")
    tune.report({"loss": 0.0, "folder": folder})


ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
with tempfile.TemporaryDirectory() as storage:
    results = tune.Tuner(
        train,
        param_space={"x": tune.grid_search([0, 1, 2])},
        tune_config=tune.TuneConfig(max_concurrent_trials=1, reuse_actors=True),
        run_config=tune.RunConfig(name="run", storage_path=storage, verbose=0),
    ).fit()
    kinds = [next(part for part in KINDS if part in result.metrics["folder"]) for result in results]
    kept = [os.path.exists(os.path.join(result.path, "curve.txt")) for result in results]
print("folders of the three trials:", ", ".join(kinds))
print("file found in storage_path: ", ", ".join(map(str, kept)))
assert kinds == ["driver_artifacts", "working_dirs", "working_dirs"]
assert kept == [True, False, False], kept
EOF
