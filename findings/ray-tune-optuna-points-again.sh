#!/usr/bin/env bash
# Ray Tune with Optuna: points_to_evaluate are enqueued again at every start of a stored study.
#
# Versions: ray[tune] 2.60.0, optuna 5.0.0, Python 3.11 on Linux.
# Expected: a second OptunaSearch on the same study (storage and study_name) finds that its first points have been
#           evaluated and goes on with new ones.
# Seen:     every start adds the same points once more: half of the second search evaluates what the study already
#           holds, and the study counts it twice. Optuna's own enqueue_trial has skip_if_exists for this; it is not
#           used.
# Output (2026-11-28): x of the eight trials: 0.25, 0.75, 0.35, 0.81, 0.25, 0.75, 0.66, 0.63
set -euo pipefail

pins=("ray[tune]==2.60.0" optuna==5.0.0)
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

import logging
import os
import tempfile

import optuna
import ray
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from ray import tune
from ray.tune.search.optuna import OptunaSearch

logging.getLogger("ray").setLevel(logging.ERROR)
optuna.logging.set_verbosity(optuna.logging.WARNING)


def train(config):
    tune.report({"loss": config["x"]})


def search(storage, folder):
    algorithm = OptunaSearch(
        space={"x": tune.uniform(0, 1)},
        metric="loss",
        mode="min",
        points_to_evaluate=[{"x": 0.25}, {"x": 0.75}],
        study_name="study",
        storage=storage,
    )
    tune.Tuner(
        train,
        tune_config=tune.TuneConfig(search_alg=algorithm, num_samples=4, max_concurrent_trials=1),
        run_config=tune.RunConfig(storage_path=folder, verbose=0),
    ).fit()


ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
with tempfile.TemporaryDirectory() as folder:
    storage = JournalStorage(JournalFileBackend(os.path.join(folder, "study.journal")))
    search(storage, folder)
    search(storage, folder)
    values = [trial.params["x"] for trial in optuna.load_study(study_name="study", storage=storage).trials]
print("x of the eight trials:", ", ".join(f"{value:.2f}" for value in values))
assert values.count(0.25) == 2
assert values.count(0.75) == 2
EOF
