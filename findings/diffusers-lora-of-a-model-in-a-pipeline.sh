#!/usr/bin/env bash
# diffusers: an adapter that a Cosmos transformer saved loads into its pipeline as nothing at all, without an error.
#
# Versions: diffusers 0.42.1, peft 0.21.2, transformers 5.23.0, torch 2.13.0, Python 3.11 on Linux.
# Expected: transformer.save_lora_adapter(folder) and pipeline.load_lora_weights(folder) fit together (the file has the
#           same name), or the second raises.
# Seen:     the model writes its keys without the prefix `transformer.`, the pipeline looks for keys with it, finds
#           none, logs a warning and returns. The transformer has no adapter, and samples are those of the base.
# Output (2026-11-28): adapter tensors after loading: 0; distance to the base 0.000, to the trained model 0.600
set -euo pipefail

pins=(diffusers==0.42.1 transformers==5.23.0 torch==2.13.0 peft==0.21.2)
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

import copy
import tempfile

from diffusers import AutoencoderKLWan, Cosmos2_5_PredictBasePipeline, CosmosTransformer3DModel, UniPCMultistepScheduler

from peft import LoraConfig

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
BASE = CosmosTransformer3DModel(**SIZES).eval()
LATENTS, TEXT = torch.randn(1, 16, 3, 4, 4), torch.randn(1, 4, 16)


@torch.no_grad()
def velocity(transformer):
    given = {"timestep": torch.tensor([0.5]), "condition_mask": torch.zeros(1, 1, 3, 4, 4)}
    return transformer(LATENTS, encoder_hidden_states=TEXT, return_dict=False, **given)[0]


def loaded(folder):
    """The base with the adapter of a folder, by the pipeline."""
    transformer = copy.deepcopy(BASE)
    pipeline = Cosmos2_5_PredictBasePipeline(
        vae=AutoencoderKLWan(base_dim=8, dim_mult=[1, 1, 1, 1], num_res_blocks=1),
        transformer=transformer,
        scheduler=UniPCMultistepScheduler(),
        text_encoder=None,
        tokenizer=None,
        safety_checker=torch.nn.Identity(),
    )
    pipeline.load_lora_weights(folder, weight_name="pytorch_lora_weights.safetensors")
    return transformer


trained = copy.deepcopy(BASE)
trained.add_adapter(LoraConfig(r=4, lora_alpha=16, target_modules=["to_q", "to_v"]))
for name, weight in trained.named_parameters():
    if "lora_B" in name:
        torch.nn.init.normal_(weight.data, std=0.1)

with tempfile.TemporaryDirectory() as folder:
    trained.save_lora_adapter(folder)
    transformer = loaded(folder)
adapters = sum("lora_" in name for name, _ in transformer.named_parameters())
to_base = float((velocity(transformer) - velocity(BASE)).abs().max())
to_trained = float((velocity(transformer) - velocity(trained)).abs().max())
distances = f"distance to the base {to_base:.3f}, to the trained model {to_trained:.3f}"
print(f"adapter tensors after loading: {adapters}; {distances}")
assert adapters == 0, "the pipeline reads the model's file now"
assert to_base == 0 < to_trained
EOF
