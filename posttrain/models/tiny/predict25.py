"""`tiny:predict2.5`: the files of nvidia/Cosmos-Predict2.5 in diffusers layout, at a ten-thousandth of the size.

    shipped VAE + fitted tokenizer + random text encoder + random transformer --assemble--> a checkpoint folder
    clips of demo:general --pretrain--> the transformer's weights in that folder

Component classes and settings are those of `scripts/convert_cosmos_to_diffusers.py` in diffusers; only sizes differ.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from posttrain.models.loading import NoGuardrail
from posttrain.models.tiny.pretrain import Recipe, pretrain
from posttrain.models.tiny.text import EMBED_DIM, build_text_encoder, build_tokenizer
from posttrain.models.tiny.vae import Z_DIM, load_vae
from posttrain.models.torchvision_shim import ensure_torchvision

PROMPT_DIM = 64
SEED = 0


def build(folder: Path, on_note: Callable[[str], None], recipe: Recipe | None = None) -> None:
    """Writes the whole checkpoint under `folder`, about 25 s on one core; deterministic on one machine."""
    with building(folder):
        on_note("tiny:predict2.5: assembling the checkpoint")
        assemble(folder)
        pretrain(folder, recipe or Recipe(), on_note)


@contextmanager
def building(folder: Path) -> Iterator[None]:
    """One thread, torch's generator put back, and files in `folder` that others may read."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # at this size more threads only wait for each other
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(threads)
    for weights in folder.rglob("*.safetensors"):
        weights.chmod(0o644)  # the library makes its files private, a shared cache is not


def assemble(folder: Path) -> None:
    """Writes every component, the transformer with random weights."""
    ensure_torchvision()
    from diffusers import Cosmos2_5_PredictBasePipeline

    gradients = torch.is_grad_enabled()
    tokenizer = build_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        text_encoder = build_text_encoder(tokenizer)
        transformer = new_transformer()
    pipe = Cosmos2_5_PredictBasePipeline(
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        transformer=transformer,
        vae=load_vae(),
        scheduler=new_scheduler(),
        safety_checker=NoGuardrail(),
    )
    with quiet_saving():
        pipe.save_pretrained(folder, safe_serialization=True)
    torch.set_grad_enabled(gradients)  # building a pipeline turns gradients off for the whole process


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


@contextmanager
def quiet_saving() -> Iterator[None]:
    """Without the libraries' progress bars, and without the remark that a safety checker cannot be saved."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    verbosity, bars = diffusers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    diffusers_logging.set_verbosity(diffusers_logging.CRITICAL)
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        diffusers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()


def new_transformer(**more: Any) -> Any:
    """One with random weights from torch's global generator; `more` are further settings of its config."""
    from diffusers import CosmosTransformer3DModel

    return CosmosTransformer3DModel(
        in_channels=Z_DIM + 1,
        out_channels=Z_DIM,
        num_attention_heads=4,
        attention_head_dim=32,
        num_layers=2,
        mlp_ratio=2.0,
        text_embed_dim=PROMPT_DIM,
        adaln_lora_dim=32,
        max_size=(128, 240, 240),
        patch_size=(1, 2, 2),
        rope_scale=(1.0, 3.0, 3.0),
        concat_padding_mask=True,
        extra_pos_embed_type=None,
        use_crossattn_projection=True,
        crossattn_proj_in_channels=EMBED_DIM,
        encoder_hidden_states_channels=PROMPT_DIM,
        **more,
    )
