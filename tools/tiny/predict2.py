"""`tiny:predict2` (Video2World) and `tiny:predict2-t2i` (Text2Image): the files of nvidia/Cosmos-Predict2.

Component classes and settings are those of `scripts/convert_cosmos_to_diffusers.py` in diffusers; only sizes differ.
"""

from pathlib import Path
from typing import Any

from posttrain.models.loading import NoGuardrail
from tools.tiny.networks import new_transformer
from tools.tiny.t5 import EMBED_DIM, load_text
from tools.tiny.vae import Z_DIM, load_vae


def new_video_pipeline(folder: Path) -> Any:
    """Video2World on the codec and the text side in `folder`; a random transformer, from torch's global generator."""
    from diffusers import Cosmos2VideoToWorldPipeline

    return Cosmos2VideoToWorldPipeline(**_components(folder, in_channels=Z_DIM + 1, rope_scale=(1.0, 3.0, 3.0)))


def new_image_pipeline(folder: Path) -> Any:
    """Text2Image on the codec and the text side in `folder`; a random transformer, from torch's global generator."""
    from diffusers import Cosmos2TextToImagePipeline

    return Cosmos2TextToImagePipeline(**_components(folder, in_channels=Z_DIM, rope_scale=(1.0, 4.0, 4.0)))


def _components(folder: Path, **transformer: Any) -> dict[str, Any]:
    from diffusers import FlowMatchEulerDiscreteScheduler

    return {
        **load_text(folder),
        "transformer": new_transformer(out_channels=Z_DIM, text_embed_dim=EMBED_DIM, **transformer),
        "vae": load_vae(folder),
        "scheduler": FlowMatchEulerDiscreteScheduler(use_karras_sigmas=True),
        "safety_checker": NoGuardrail(),
    }
