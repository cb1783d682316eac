#!/usr/bin/env bash
# Ray: workers run at niceness 15, so beside any other busy process a trial on the CPU nearly stands still.
#
# Versions: ray 2.60.0, Python 3.11 on Linux.
# Expected: a task or an actor that asks for one CPU gets what the driver would get on that CPU.
# Seen:     Ray starts its workers at niceness 15, the driver stays at 0. The Linux scheduler gives such a process about
#           3 % of a core that a process of normal priority wants as well: a data loader, a colleague's job or a test
#           suite beside it slows a training on the CPU thirty times, and heart beats and time limits fail. Set
#           RAY_worker_niceness=0 before Ray starts on the node.
# Output (2026-11-28): niceness: driver 0, worker 15 by default, 0 with RAY_worker_niceness=0
set -euo pipefail

pins=(ray==2.60.0)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=${FINDINGS_PYTHON:-} # a Python that has the pinned versions already; else a fresh virtual environment
if [ -z "$python" ]; then
    python3 -m venv "$work/venv"
    python=$work/venv/bin/python
    "$python" -m pip install --quiet "${pins[@]}"
fi
cd "$work"
export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0
"$python" - "${pins[@]}" <<'EOF'
import importlib.metadata
import sys

for name, _, wanted in (pin.partition("==") for pin in sys.argv[1:]):
    found = importlib.metadata.version(name.partition("[")[0]).partition("+")[0]
    assert found == wanted, f"{name} {found} is installed, {wanted} was pinned"

import os

import ray


@ray.remote
def niceness():
    return os.nice(0)


def of_a_worker(setting):
    os.environ.pop("RAY_worker_niceness", None)
    if setting is not None:
        os.environ["RAY_worker_niceness"] = setting
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    found = ray.get(niceness.remote())
    ray.shutdown()
    return found


default, level = of_a_worker(None), of_a_worker("0")
print(f"niceness: driver {os.nice(0)}, worker {default} by default, {level} with RAY_worker_niceness=0")
assert default == 15, "workers are no longer started at niceness 15"
assert level == 0
EOF
