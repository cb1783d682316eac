#!/usr/bin/env bash
# PyTorch: a TorchFunctionMode is off inside backward(), so checkpointed blocks are computed again without it.
#
# Versions: torch 2.13.0, Python 3.11 on Linux.
# Expected: a block under torch.utils.checkpoint (use_reentrant=False) is computed again as it was the first time: the
#           random state and autocast are restored, and the mode is still on around the call of backward().
# Seen:     Tensor.backward, torch.autograd.backward and torch.autograd.grad are themselves calls that the mode handles,
#           and it is off while it handles one. The block runs again without it, here in float32 instead of float64,
#           which is a CheckpointError; a mode that changes values but no dtype gives wrong gradients without an error.
# Output (2026-11-28): float64, then float32, CheckpointError; gradient of (3 exp(x))^2 at 0: 18.0, checkpointed 6.0
set -euo pipefail

pins=(torch==2.13.0)
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

import torch
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import CheckpointError, checkpoint


class Float64(TorchFunctionMode):
    """Whoever asks for float32 gets float64."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return func(*(torch.float64 if value is torch.float32 else value for value in args), **(kwargs or {}))


class TripleExp(TorchFunctionMode):
    """exp(x) is 3 exp(x)."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        return 3 * result if func is torch.exp else result


dtypes = []


def rounding_block(x):
    rounded = x.to(torch.float32)
    dtypes.append(rounded.dtype)
    return rounded.sin()


def squared_exp(x):
    return torch.exp(x) ** 2


def mismatch(differentiate):
    """Whether the backward pass of a checkpointed block fails, with the mode on around all of it."""
    x = torch.ones(3, dtype=torch.float64, requires_grad=True)
    with Float64():
        loss = checkpoint(rounding_block, x, use_reentrant=False).sum()
        try:
            differentiate(loss, x)
        except CheckpointError as error:
            return "different metadata" in str(error)
    return False


def gradient(checkpointed):
    x = torch.zeros((), requires_grad=True)
    with TripleExp():
        value = checkpoint(squared_exp, x, use_reentrant=False) if checkpointed else squared_exp(x)
        value.backward()
    return float(x.grad)


assert mismatch(lambda loss, x: loss.backward())
print("the block ran in", ", then in ".join(str(dtype) for dtype in dtypes), "and raised CheckpointError")
assert dtypes == [torch.float64, torch.float32]
assert mismatch(lambda loss, x: torch.autograd.backward(loss))
assert mismatch(lambda loss, x: torch.autograd.grad(loss, x))
plain, again = gradient(checkpointed=False), gradient(checkpointed=True)
print(f"gradient of (3 exp(x))^2 at 0: {plain:.1f}, checkpointed {again:.1f}")
assert (plain, again) == (18.0, 6.0)
EOF
