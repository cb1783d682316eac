"""The tiny AutoencoderKLWan: z_dim 16, four frames and eight by eight pixels a latent.

`config.json` holds the mean and the standard deviation of its latents, as the published checkpoints do.
"""

from pathlib import Path
from typing import Any

import torch

from posttrain.models.torchvision_shim import ensure_torchvision

Z_DIM = 16

_CONFIG: dict[str, Any] = {
    "base_dim": 8,
    "dim_mult": [1, 2, 4, 6],
    "num_res_blocks": 1,
    "z_dim": Z_DIM,
    "temperal_downsample": [False, True, True],
}
# Pipelines that sample the posterior would otherwise condition on pure noise: log-variance 0 is a std of 1.
_LOG_VARIANCE = -20.0


def new_vae() -> Any:
    """An untrained one, its weights from torch's global generator."""
    ensure_torchvision()
    from diffusers import AutoencoderKLWan

    return AutoencoderKLWan(**_CONFIG)


def load_vae(folder: Path) -> Any:
    """The one of the checkpoint in `folder`."""
    ensure_torchvision()
    from diffusers import AutoencoderKLWan

    return AutoencoderKLWan.from_pretrained(folder / "vae", local_files_only=True).eval()


@torch.no_grad()
def save_vae(vae: Any, latents_NCThw: torch.Tensor, folder: Path) -> None:
    """Writes `folder`/vae, with the statistics of these latents; silences the log-variance half."""
    mean_C, std_C = latents_NCThw.mean((0, 2, 3, 4)), latents_NCThw.std((0, 2, 3, 4))
    vae.register_to_config(latents_mean=_rounded(mean_C), latents_std=_rounded(std_C))
    vae.quant_conv.weight[Z_DIM:] = 0.0
    vae.quant_conv.bias[Z_DIM:] = _LOG_VARIANCE
    vae.save_pretrained(folder / "vae")


def _rounded(values_C: torch.Tensor) -> list[float]:
    return [round(float(value), 4) for value in values_C]
