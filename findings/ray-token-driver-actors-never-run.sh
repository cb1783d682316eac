#!/usr/bin/env bash
# Ray: a driver that uses a token joins a cluster without tokens, and then each of its actors dies before it runs.
#
# Versions: ray 2.60.0, Python 3.11 on Linux.
# Expected: `ray.init(address=...)` refuses, or the actors run: tasks do.
# Seen:     with RAY_AUTH_MODE=token in the driver and `disabled` in the cluster, ray.init succeeds and tasks run, but an
#           actor ends at once with "all references to the actor were removed", although its handle is held. The cluster
#           asks the driver whether the handle lives, without a token, is turned away, and takes that for a no.
# Output (2026-11-28):
#   a task: 1; an actor: ActorDiedError, "all references to the actor were removed", "The actor never ran"
#   without the token: a task: 1; an actor: 1
set -euo pipefail

pins=(ray==2.60.0)
work=$(mktemp -d)
head=
trap '[ -z "$head" ] || kill -- "-$head" 2>/dev/null || true; rm -rf "$work"' EXIT
python=${FINDINGS_PYTHON:-} # a Python that has the pinned versions already; else a fresh virtual environment
if [ -z "$python" ]; then
    python3 -m venv "$work/venv"
    python=$work/venv/bin/python
    "$python" -m pip install --quiet "${pins[@]}"
fi
cd "$work"
export HOME=$work RAY_USAGE_STATS_ENABLED=0 RAY_TMPDIR=$work/r
unset RAY_AUTH_MODE RAY_AUTH_TOKEN RAY_AUTH_TOKEN_PATH
port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
ray=("$python" -c 'import sys; from ray.scripts.scripts import main; sys.exit(main())')
RAY_AUTH_MODE=disabled setsid "${ray[@]}" start --head --port "$port" --num-cpus 2 --min-worker-port 0 --max-worker-port 0 \
    --include-dashboard false --block >start.txt 2>&1 &
head=$!
for _ in $(seq 120); do
    if grep -q "Ray runtime started" start.txt; then break; fi
    sleep 0.5
done

cat >drive.py <<'PYTHON'
import importlib.metadata
import sys

assert importlib.metadata.version("ray") == "2.60.0"
import ray


class Counter:
    def one(self):
        return 1


ray.init(address=f"127.0.0.1:{sys.argv[1]}", log_to_driver=False, logging_level="ERROR")
task = ray.get(ray.remote(lambda: 1).remote(), timeout=60)
counter = ray.remote(num_cpus=0)(Counter).remote()
try:
    answer = ray.get(counter.one.remote(), timeout=60)
except ray.exceptions.ActorDiedError as error:
    told = [part for part in ("all references to the actor were removed", "The actor never ran") if part in str(error)]
    answer = ", ".join(["ActorDiedError", *(f'"{part}"' for part in told)])
print(f"a task: {task}; an actor: {answer}")
PYTHON
mkdir -p .ray && printf '%064d' 0 >.ray/auth_token
RAY_AUTH_MODE=token "$python" drive.py "$port" 2>/dev/null | tee with.txt
grep -q 'a task: 1; an actor: ActorDiedError, "all references to the actor were removed", "The actor never ran"' with.txt
echo -n "without the token: "
"$python" drive.py "$port" 2>/dev/null | tee without.txt
grep -q "a task: 1; an actor: 1" without.txt
