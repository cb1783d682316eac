"""Writing untrained checkpoints: new transformers of the tiny size, and pipelines around components that ship."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# A pipeline's own components; the others lie in its folder, from the layers below.
_OWN = ("transformer", "controlnet", "scheduler")


def new_transformer(**settings: Any) -> Any:
    """A `CosmosTransformer3DModel` of the tiny size; `settings` are what a generation publishes."""
    from diffusers import CosmosTransformer3DModel

    sizes: dict[str, Any] = {
        "num_attention_heads": 4,
        "attention_head_dim": 32,
        "num_layers": 2,
        "mlp_ratio": 2.0,
        "adaln_lora_dim": 32,
        "max_size": (128, 240, 240),
        "patch_size": (1, 2, 2),
        "concat_padding_mask": True,
        "extra_pos_embed_type": None,
    }
    return CosmosTransformer3DModel(**{**sizes, **settings})


def save_pipeline(pipeline: Any, folder: Path) -> None:
    """Writes what `folder` lacks of the pipeline's checkpoint: its index, and the components of its own."""
    pipeline.register_to_config(safety_checker=(None, None))  # the published index names none
    with _quiet_saving():
        pipeline.save_config(folder)
        for name in _OWN:
            if name in pipeline.components:
                pipeline.components[name].save_pretrained(folder / name)


def save_text(tokenizer: Any, text_encoder: Any, folder: Path) -> None:
    """Writes the text side of a pipeline's checkpoint."""
    with _quiet_saving():
        tokenizer.save_pretrained(folder / "tokenizer")
        text_encoder.save_pretrained(folder / "text_encoder")


@contextmanager
def _quiet_saving() -> Iterator[None]:
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
