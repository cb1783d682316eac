#!/usr/bin/env bash
# Optuna: an enqueued value outside of its range is stored, and then the study's trials cannot be copied any more.
#
# Versions: optuna 5.0.0, Python 3.11 on Linux.
# Expected: a value that the distribution does not hold is refused by enqueue_trial or suggest_float; or it is accepted,
#           and the trial is as good as any other.
# Seen:     suggest_float returns the value with a warning and stores it as the trial's parameter. other.add_trials(
#           study.trials), the documented way to copy a study, then raises ValueError on that trial. A 0 for a float
#           with log=True is enqueued without a word too, but there suggest_float itself raises ValueError.
# Output (2026-11-28): stored with a warning: 2.0; copied: ValueError; 0 with log=True: ValueError
set -euo pipefail

pins=(optuna==5.0.0)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=${FINDINGS_PYTHON:-} # a Python that has the pinned versions already; else a fresh virtual environment
if [ -z "$python" ]; then
    python3 -m venv "$work/venv"
    python=$work/venv/bin/python
    "$python" -m pip install --quiet "${pins[@]}"
fi
cd "$work"
"$python" - "${pins[@]}" <<'EOF'
import importlib.metadata
import sys

for name, _, wanted in (pin.partition("==") for pin in sys.argv[1:]):
    found = importlib.metadata.version(name.partition("[")[0]).partition("+")[0]
    assert found == wanted, f"{name} {found} is installed, {wanted} was pinned"

import warnings

import optuna

optuna.logging.set_verbosity(optuna.logging.WARNING)


def error(call, *given, **named):
    """What a call raises."""
    try:
        call(*given, **named)
    except ValueError as raised:
        return raised
    raise AssertionError("nothing was raised")


study = optuna.create_study()
study.enqueue_trial({"x": 2.0})
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    study.optimize(lambda trial: trial.suggest_float("x", 0.0, 1.0), n_trials=1)
assert any("out of range" in str(warning.message) for warning in caught)
print(f"stored with a warning: {study.trials[0].params['x']}, {study.trials[0].state.name}")
assert study.trials[0].params == {"x": 2.0}
assert study.trials[0].state == optuna.trial.TrialState.COMPLETE

copying = error(optuna.create_study().add_trials, study.trials)
print(f"copied: {type(copying).__name__}: {copying}")
assert "isn't contained in" in str(copying)

logarithmic = optuna.create_study()
logarithmic.enqueue_trial({"rate": 0.0})
drawing = error(logarithmic.ask().suggest_float, "rate", 1e-6, 1e-2, log=True)
print(f"0 with log=True: {type(drawing).__name__}: {drawing}")
assert "log=True" in str(drawing)
EOF
