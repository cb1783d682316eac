#!/usr/bin/env bash
# diffusers: Cosmos-Predict2 passes `fps` to the transformer, Predict2.5 cannot: its clips always count as 24 a second.
#
# Versions: diffusers 0.42.1, transformers 5.23.0, torch 2.13.0, Python 3.11 on Linux.
# Expected: the frame rate is a property of the clip, so either every Cosmos pipeline asks for it or none does.
# Seen:     the transformer scales its temporal rotary embedding by fps (None means 24), so its output depends on it.
#           Cosmos2VideoToWorldPipeline has `fps` and passes it on; the 2.5 pipelines have no such argument and leave
#           it None. A Predict2 trained at one rate and sampled at another is off, a Predict2.5 trained with fps=16 can
#           never be sampled as it was trained.
# Output (2026-11-28): largest change of the output against fps=24: None: 0.0000, 16: 0.0215, 8: 0.0702
set -euo pipefail

pins=(diffusers==0.42.1 transformers==5.23.0 torch==2.13.0)
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

import logging

logging.disable(logging.WARNING)
import torch

import inspect

from diffusers import (
    Cosmos2_5_PredictBasePipeline,
    Cosmos2_5_TransferPipeline,
    Cosmos2VideoToWorldPipeline,
    CosmosTransformer3DModel,
)

SIZES = {
    "in_channels": 17,
    "out_channels": 16,
    "num_attention_heads": 2,
    "attention_head_dim": 32,
    "num_layers": 2,
    "mlp_ratio": 2.0,
    "text_embed_dim": 16,
    "adaln_lora_dim": 8,
    "max_size": (8, 16, 16),
    "concat_padding_mask": False,
    "extra_pos_embed_type": None,
}

torch.manual_seed(0)
transformer = CosmosTransformer3DModel(**SIZES).eval()
latents, text = torch.randn(1, 16, 3, 4, 4), torch.randn(1, 4, 16)


@torch.no_grad()
def velocity(fps):
    given = {"timestep": torch.tensor([0.5]), "condition_mask": torch.zeros(1, 1, 3, 4, 4)}
    return transformer(latents, encoder_hidden_states=text, fps=fps, return_dict=False, **given)[0]


changes = {fps: float((velocity(fps) - velocity(24)).abs().max()) for fps in (None, 16, 8)}
listed = ", ".join(f"{fps}: {change:.4f}" for fps, change in changes.items())
print("largest change of the output against fps=24:", listed)
asked = {}
for pipeline in (Cosmos2VideoToWorldPipeline, Cosmos2_5_PredictBasePipeline, Cosmos2_5_TransferPipeline):
    asked[pipeline.__name__] = "fps" in inspect.signature(pipeline.__call__).parameters
    print(f"{pipeline.__name__} has an argument fps: {asked[pipeline.__name__]}")
assert changes[None] == 0 < changes[16] < changes[8]
assert list(asked.values()) == [True, False, False]
EOF
