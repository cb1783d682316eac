#!/usr/bin/env bash
# Ray: after any local ray.init, `ray start --head` asks for a token that no other command sends, not even `ray status`.
#
# Versions: ray 2.60.0, Python 3.11 on Linux.
# Expected: what `ray start --head` starts can be used from the same shell by `ray status` and `ray.init(address=...)`.
# Seen:     a local `ray.init()` leaves a token in ~/.ray/auth_token. From then on `ray start --head` turns token
#           authentication on, while `ray.init(address=...)` and `ray status` keep it off unless RAY_AUTH_MODE=token is
#           set, and fail after about twenty seconds. The variable is read when ray is imported: later has no effect.
# Output (2026-11-28):
#   ray.init() left a token
#   unset: AuthenticationError: InvalidAuthToken; set after the import: the same; RAY_AUTH_MODE=token: 1 node
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
# a home of its own: the real one keeps its token, or its lack of one
export HOME=$work RAY_USAGE_STATS_ENABLED=0 RAY_TMPDIR=$work/r
unset RAY_AUTH_MODE RAY_AUTH_TOKEN RAY_AUTH_TOKEN_PATH
"$python" -c 'import ray; ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)' 2>/dev/null
[ -s "$HOME/.ray/auth_token" ] && echo "ray.init() left a token"
port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
ray=("$python" -c 'import sys; from ray.scripts.scripts import main; sys.exit(main())')
setsid "${ray[@]}" start --head --port "$port" --num-cpus 1 --include-dashboard false --block >start.txt 2>&1 &
head=$!
for _ in $(seq 120); do
    if grep -q "Ray runtime started" start.txt; then break; fi
    sleep 0.5
done

cat >connect.py <<'PYTHON'
import importlib.metadata
import os
import sys

assert importlib.metadata.version("ray") == "2.60.0"
import ray

if sys.argv[2] == "late":
    os.environ["RAY_AUTH_MODE"] = "token"
ray.init(address=f"127.0.0.1:{sys.argv[1]}", log_to_driver=False, logging_level="ERROR")
print("nodes:", len(ray.nodes()))
PYTHON
if "$python" connect.py "$port" unset >unset.txt 2>&1; then echo "ray.init sends the token now" && exit 1; fi
grep -q "AuthenticationError: .*InvalidAuthToken" unset.txt
if "$python" connect.py "$port" late >late.txt 2>&1; then echo "the variable is read later now" && exit 1; fi
grep -q "AuthenticationError: .*InvalidAuthToken" late.txt
RAY_AUTH_MODE=token "$python" connect.py "$port" early >early.txt 2>&1
grep -q "nodes: 1" early.txt
echo "unset: AuthenticationError: InvalidAuthToken; set after the import: the same; RAY_AUTH_MODE=token: 1 node"
