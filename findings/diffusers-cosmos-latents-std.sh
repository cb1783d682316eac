#!/usr/bin/env bash
# diffusers: `latents_std` of the Cosmos 2.5 pipelines is 1/std in Predict and std in Transfer.
#
# Versions: diffusers 0.42.1, transformers 5.23.0, torch 2.13.0, Python 3.11 on Linux.
# Expected: two pipelines of one generation, built on the same VAE, hold the same number under the same attribute.
# Seen:     Cosmos2_5_PredictBasePipeline.latents_std is the reciprocal of vae.config.latents_std, and
#           Cosmos2_5_TransferPipeline.latents_std is the value itself. Code that normalises latents by this attribute
#           and is right for one of them is off by the square of the standard deviation (here 8) for the other.
# Output (2026-11-28): VAE 2.8184; Predict2.5 pipeline 0.3548; Transfer2.5 pipeline 2.8184
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

from diffusers import (
    AutoencoderKLWan,
    Cosmos2_5_PredictBasePipeline,
    Cosmos2_5_TransferPipeline,
    CosmosTransformer3DModel,
    UniPCMultistepScheduler,
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

vae = AutoencoderKLWan(
    base_dim=8, dim_mult=[1, 2, 4, 6], num_res_blocks=1, z_dim=16, temperal_downsample=[False, True, True]
).eval()

parts = {
    "vae": vae,
    "transformer": CosmosTransformer3DModel(**SIZES),
    "scheduler": UniPCMultistepScheduler(),
    "text_encoder": None,
    "tokenizer": None,
    "safety_checker": torch.nn.Identity(),
}
predict = Cosmos2_5_PredictBasePipeline(**parts)
transfer = Cosmos2_5_TransferPipeline(controlnet=None, **parts)
std = vae.config.latents_std[0]
in_predict, in_transfer = predict.latents_std.flatten()[0], transfer.latents_std.flatten()[0]
print(f"VAE {std:.4f}; Predict2.5 pipeline {in_predict:.4f}; Transfer2.5 pipeline {in_transfer:.4f}")
assert abs(in_predict - 1 / std) < 1e-4, "Predict2.5 no longer holds the reciprocal"
assert abs(in_transfer - std) < 1e-4, "Transfer2.5 no longer holds the value itself"
EOF
