"""`tiny:predict2.5`: the files of nvidia/Cosmos-Predict2.5 in diffusers layout, at a ten-thousandth of the size.

Component classes and settings are those of `scripts/convert_cosmos_to_diffusers.py` in diffusers; only sizes differ.
"""

from pathlib import Path
from typing import Any

from posttrain.models.loading import NoGuardrail
from tools.tiny.networks import new_transformer
from tools.tiny.text import EMBED_DIM, load_text
from tools.tiny.vae import Z_DIM, load_vae

# What the published checkpoint's transformer is made with.
TRANSFORMER: dict[str, Any] = {
    "in_channels": Z_DIM + 1,
    "out_channels": Z_DIM,
    "text_embed_dim": 64,
    "rope_scale": (1.0, 3.0, 3.0),
    "use_crossattn_projection": True,
    "crossattn_proj_in_channels": EMBED_DIM,
    "encoder_hidden_states_channels": 64,
}


def new_pipeline(folder: Path) -> Any:
    """The pipeline on the codec and the text side in `folder`; a random transformer, from torch's global generator."""
    from diffusers import Cosmos2_5_PredictBasePipeline

    return Cosmos2_5_PredictBasePipeline(
        **load_text(folder),
        transformer=new_transformer(**TRANSFORMER),
        vae=load_vae(folder),
        scheduler=new_scheduler(),
        safety_checker=NoGuardrail(),
    )


def new_scheduler() -> Any:
    """The published sampler's."""
    from diffusers import UniPCMultistepScheduler

    return UniPCMultistepScheduler(
        use_karras_sigmas=True,
        use_flow_sigmas=True,
        prediction_type="flow_prediction",
        sigma_max=200.0,
        sigma_min=0.01,
    )
