"""The tiny AutoencoderKLWan that ships with the package: z_dim 16, four frames and eight by eight pixels a latent.

`train_vae --codec wan` wrote its weights: float16, together with the mean and the standard deviation of its latents,
which the published checkpoints keep in `vae/config.json`.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from posttrain.models.torchvision_shim import ensure_torchvision

WEIGHTS = Path(__file__).with_name("vae.safetensors")
Z_DIM = 16

_CONFIG: dict[str, Any] = {
    "base_dim": 8,
    "dim_mult": [1, 2, 4, 6],
    "num_res_blocks": 1,
    "z_dim": Z_DIM,
    "temperal_downsample": [False, True, True],
}
_LATENTS_MEAN, _LATENTS_STD = "latents_mean", "latents_std"
# Pipelines that sample the posterior would otherwise condition on pure noise: log-variance 0 is a std of 1.
_LOG_VARIANCE = -20.0


def new_vae() -> Any:
    """An untrained one, its weights from torch's global generator."""
    ensure_torchvision()
    from diffusers import AutoencoderKLWan

    return AutoencoderKLWan(**_CONFIG)


def load_vae() -> Any:
    """The shipped one in float32, ready to be saved in the published layout."""
    ensure_torchvision()
    from diffusers import AutoencoderKLWan

    weights = {name: value.float() for name, value in load_file(WEIGHTS).items()}
    mean, std = weights.pop(_LATENTS_MEAN), weights.pop(_LATENTS_STD)
    vae = AutoencoderKLWan(**_CONFIG, latents_mean=_rounded(mean), latents_std=_rounded(std))
    vae.load_state_dict(weights)
    return vae.eval()


def save_vae(vae: Any, latents_NCThw: torch.Tensor, path: Path = WEIGHTS) -> None:
    """Writes what `load_vae` reads, with the statistics of these latents; silences the log-variance half."""
    mean_C, std_C = latents_NCThw.mean((0, 2, 3, 4)), latents_NCThw.std((0, 2, 3, 4))
    weights = {name: value.detach().half() for name, value in vae.state_dict().items()}
    weights["quant_conv.weight"][Z_DIM:] = 0.0
    weights["quant_conv.bias"][Z_DIM:] = _LOG_VARIANCE
    save_file({**weights, _LATENTS_MEAN: mean_C.float(), _LATENTS_STD: std_C.float()}, path)
    path.chmod(0o644)  # safetensors makes its files private, a package's data is not


def _rounded(values_C: torch.Tensor) -> list[float]:
    return [round(float(value), 4) for value in values_C]
