"""`tiny:predict2` (Video2World) and `tiny:predict2-t2i` (Text2Image): the files of nvidia/Cosmos-Predict2.

Component classes and settings are those of `scripts/convert_cosmos_to_diffusers.py` in diffusers; only sizes differ.
"""

from typing import Any

from posttrain.models.loading import NoGuardrail
from posttrain.models.tiny.assemble import new_transformer
from posttrain.models.tiny.t5 import EMBED_DIM, build_text_encoder, build_tokenizer
from posttrain.models.tiny.vae import Z_DIM, load_vae


def new_video_pipeline() -> Any:
    """Video2World with random text encoder and transformer, from torch's global generator."""
    from diffusers import Cosmos2VideoToWorldPipeline

    return Cosmos2VideoToWorldPipeline(**_components(in_channels=Z_DIM + 1, rope_scale=(1.0, 3.0, 3.0)))


def new_image_pipeline() -> Any:
    """Text2Image with random text encoder and transformer, from torch's global generator."""
    from diffusers import Cosmos2TextToImagePipeline

    return Cosmos2TextToImagePipeline(**_components(in_channels=Z_DIM, rope_scale=(1.0, 4.0, 4.0)))


def _components(**transformer: Any) -> dict[str, Any]:
    from diffusers import FlowMatchEulerDiscreteScheduler

    tokenizer = build_tokenizer()
    return {
        "text_encoder": build_text_encoder(tokenizer),
        "tokenizer": tokenizer,
        "transformer": new_transformer(out_channels=Z_DIM, text_embed_dim=EMBED_DIM, **transformer),
        "vae": load_vae(),
        "scheduler": FlowMatchEulerDiscreteScheduler(use_karras_sigmas=True),
        "safety_checker": NoGuardrail(),
    }
