#!/usr/bin/env bash
# diffusers: save_lora_weights without the metadata argument loses alpha: the adapter comes back at another strength.
#
# Versions: diffusers 0.42.1, peft 0.21.2, transformers 5.23.0, torch 2.13.0, Python 3.11 on Linux.
# Expected: pipeline.save_lora_weights(folder, transformer_lora_layers=get_peft_model_state_dict(transformer)), as
#           training scripts call it, and load_lora_weights(folder) give the trained model back.
# Seen:     the file has no alpha, and loading takes alpha = rank. With rank 4 and alpha 16 the adapter acts at a
#           quarter of its strength; no error, no warning. With the metadata of
#           diffusers.training_utils._collate_lora_metadata passed as well the round trip is exact.
# Output (2026-11-28): scaling {1.0} and error 0.440 without metadata, {4.0} and 0.000 with it
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

from diffusers.training_utils import _collate_lora_metadata
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict

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


def error_after_a_round_trip(**metadata):
    layers = get_peft_model_state_dict(trained)
    with tempfile.TemporaryDirectory() as folder:
        Cosmos2_5_PredictBasePipeline.save_lora_weights(folder, transformer_lora_layers=layers, **metadata)
        transformer = loaded(folder)
    scalings = {value for module in transformer.modules() for value in getattr(module, "scaling", {}).values()}
    return float((velocity(transformer) - velocity(trained)).abs().max()), scalings


plain, plain_scalings = error_after_a_round_trip()
exact, exact_scalings = error_after_a_round_trip(**_collate_lora_metadata({"transformer": trained}))
print(f"rank 4, alpha 16: scaling {plain_scalings} and error {plain:.3f} as scripts save it")
print(f"with metadata:    scaling {exact_scalings} and error {exact:.3f}")
assert plain_scalings == {1.0}, "alpha is kept now"
assert plain > 0.01 > exact
assert exact_scalings == {4.0}
EOF
