#!/usr/bin/env bash
# diffusers: save_config of a pipeline with a safety checker of one's own writes an index that cannot be loaded again.
#
# Versions: diffusers 0.42.1, transformers 5.23.0, torch 2.13.0, Python 3.11 on Linux.
# Expected: pipeline.save_config(folder) writes the model_index.json that pipeline.save_pretrained(folder) writes; with
#           the components' own folders next to it, from_pretrained(folder, safety_checker=...) loads both.
# Seen:     the Cosmos pipelines accept any object with the checker's methods. save_config writes its module and class
#           into the index; from_pretrained with the same checker then fails with a TypeError of issubclass(), as the
#           class has none of diffusers' base classes. Without one it fails too. save_pretrained writes [null, null],
#           which loads, and it changes the configuration of the pipeline in memory: a save_config after it is right.
# Output (2026-11-28): save_config ['__main__', 'Checker'], TypeError; save_pretrained [None, None], loads
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
import json
import tempfile
from pathlib import Path

from diffusers import AutoencoderKLWan, Cosmos2_5_PredictBasePipeline, CosmosTransformer3DModel, UniPCMultistepScheduler
from diffusers.utils.logging import disable_progress_bar

disable_progress_bar()
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


class Checker:
    """All that the pipeline asks of a safety checker."""

    def to(self, device):
        return self

    def check_text_safety(self, prompt):
        return True

    def check_video_safety(self, frames):
        return frames


def made():
    return Cosmos2_5_PredictBasePipeline(
        vae=AutoencoderKLWan(base_dim=8, dim_mult=[1, 1, 1, 1], num_res_blocks=1),
        transformer=CosmosTransformer3DModel(**SIZES),
        scheduler=UniPCMultistepScheduler(),
        text_encoder=None,
        tokenizer=None,
        safety_checker=Checker(),
    )


def in_index(folder):
    return json.loads((folder / "model_index.json").read_text())["safety_checker"]


def loaded(folder, **given):
    """How loading ends: what the pipeline has as its checker, or the error."""
    try:
        pipeline = Cosmos2_5_PredictBasePipeline.from_pretrained(folder, text_encoder=None, tokenizer=None, **given)
    except Exception as error:
        return error
    return pipeline.safety_checker


with tempfile.TemporaryDirectory() as temporary:
    folder = Path(temporary)
    pipeline = made()
    for name in ("vae", "transformer", "scheduler"):
        getattr(pipeline, name).save_pretrained(folder / name)
    pipeline.save_config(folder)
    by_config, given, missing = in_index(folder), loaded(folder, safety_checker=Checker()), loaded(folder)
    print(f"save_config: {by_config}; with a checker {given!r}; without one {type(missing).__name__}: {missing}"[:300])
    assert by_config == ["__main__", "Checker"]
    assert isinstance(given, TypeError)
    assert "issubclass() arg 2 must be a class" in str(given)
    assert isinstance(missing, ValueError)

with tempfile.TemporaryDirectory() as temporary:
    folder = Path(temporary)
    pipeline = made()
    pipeline.save_pretrained(folder)
    by_pretrained, given = in_index(folder), loaded(folder, safety_checker=Checker())
    print(f"save_pretrained: {by_pretrained}; with a checker {type(given).__name__}")
    assert by_pretrained == [None, None]
    assert isinstance(given, Checker)
    pipeline.save_config(folder)
    assert in_index(folder) == [None, None], "save_pretrained no longer changes the pipeline's configuration"
EOF
