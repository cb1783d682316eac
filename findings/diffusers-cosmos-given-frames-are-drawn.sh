#!/usr/bin/env bash
# diffusers: Cosmos-Predict2 draws the latents of the given frames at random, Predict2.5 takes their mode.
#
# Versions: diffusers 0.42.1, transformers 5.23.0, torch 2.13.0, Python 3.11 on Linux.
# Expected: the frames that a video is continued from are encoded in the same way by both generations; the seed
#           changes the noise that the rest starts from, not what is given.
# Seen:     Cosmos2VideoToWorldPipeline encodes the given frames by a draw from the VAE's posterior, with the generator
#           of the call: two seeds, two different conditions. Cosmos2_5_PredictBasePipeline takes the mode, the same
#           for all seeds. With a VAE whose log-variance was never trained, Predict2 conditions on little but noise.
#           Latents that were cached for training by the mode are not what Predict2's own sampler sees.
# Output (2026-11-28): squared change between two seeds over variance: Predict2 1.49, Predict2.5 0.00
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
    Cosmos2VideoToWorldPipeline,
    CosmosTransformer3DModel,
    FlowMatchEulerDiscreteScheduler,
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

torch.manual_seed(0)
vae = AutoencoderKLWan(
    base_dim=8, dim_mult=[1, 2, 4, 6], num_res_blocks=1, z_dim=16, temperal_downsample=[False, True, True]
).eval()

parts = {
    "vae": vae,
    "transformer": CosmosTransformer3DModel(**SIZES),
    "text_encoder": None,
    "tokenizer": None,
    "safety_checker": torch.nn.Identity(),
}
predict2 = Cosmos2VideoToWorldPipeline(scheduler=FlowMatchEulerDiscreteScheduler(), **parts)
predict25 = Cosmos2_5_PredictBasePipeline(scheduler=UniPCMultistepScheduler(), **parts)
CLIP = torch.rand(1, 3, 9, 32, 32) * 2 - 1


@torch.no_grad()
def given(pipeline, seed):
    """The latents of the nine frames that the pipeline conditions on."""
    frames = {"num_frames": 9} if pipeline is predict2 else {"num_frames_in": 9, "num_frames_out": 9}
    options = {"height": 32, "width": 32, "dtype": torch.float32, "device": "cpu", "do_classifier_free_guidance": False}
    generator = torch.Generator().manual_seed(seed)
    return pipeline.prepare_latents(CLIP, 1, 16, generator=generator, **frames, **options)[1]


def change(pipeline):
    """How much another seed changes them, as a share of their variance."""
    one, other = given(pipeline, 0), given(pipeline, 1)
    return float((one - other).square().mean() / one.var())


found = change(predict2), change(predict25)
print("given latents, squared change between two seeds over variance:", end=" ")
print(f"Predict2 {found[0]:.2f}, Predict2.5 {found[1]:.2f}")
assert found[0] > 0.1, "Predict2 no longer draws"
assert found[1] == 0, "Predict2.5 draws now"
EOF
