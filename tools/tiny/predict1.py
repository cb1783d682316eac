"""`tiny:predict1` (Video2World) and `tiny:predict1-t2w` (Text2World): the files of nvidia/Cosmos-1.0-Diffusion.

Component classes and settings are those of `scripts/convert_cosmos_to_diffusers.py` in diffusers; only sizes differ.
"""

from pathlib import Path
from typing import Any

from posttrain.models.loading import NoGuardrail
from tools.tiny.networks import new_transformer
from tools.tiny.t5 import EMBED_DIM, load_text
from tools.tiny.vae_cosmos import Z_DIM, load_vae


def new_video_pipeline(folder: Path) -> Any:
    """Video2World on the codec and the text side in `folder`; a random transformer, from torch's global generator."""
    from diffusers import CosmosVideoToWorldPipeline

    return CosmosVideoToWorldPipeline(**_components(folder, in_channels=Z_DIM + 1))


def new_text_pipeline(folder: Path) -> Any:
    """Text2World on the codec and the text side in `folder`; a random transformer, from torch's global generator."""
    from diffusers import CosmosTextToWorldPipeline

    return CosmosTextToWorldPipeline(**_components(folder, in_channels=Z_DIM))


def _components(folder: Path, in_channels: int) -> dict[str, Any]:
    from diffusers import EDMEulerScheduler

    return {
        **load_text(folder),
        "transformer": new_transformer(
            in_channels=in_channels,
            out_channels=Z_DIM,
            text_embed_dim=EMBED_DIM,
            rope_scale=(2.0, 1.0, 1.0),
            extra_pos_embed_type="learnable",
        ),
        "vae": load_vae(folder),
        "scheduler": EDMEulerScheduler(
            sigma_min=0.002,
            sigma_max=80,
            sigma_data=0.5,
            sigma_schedule="karras",
            num_train_timesteps=1000,
            prediction_type="epsilon",
            rho=7.0,
            final_sigmas_type="sigma_min",
        ),
        "safety_checker": NoGuardrail(),
    }
