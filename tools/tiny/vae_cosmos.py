"""The tiny AutoencoderKLCosmos: z_dim 16, eight frames and eight by eight pixels a latent.

`config.json` holds the mean and the standard deviation of its latents. The published codec keeps those for each of 16
latent frames; here the first frame has its own and all that follow share theirs.
"""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from posttrain.models.torchvision_shim import ensure_torchvision

Z_DIM = 16
NUM_STATISTICS = 16  # latent frames that the published codec has statistics for

_CONFIG: dict[str, Any] = {
    "latent_channels": Z_DIM,
    "encoder_block_out_channels": [24, 32, 40, 40],
    "decode_block_out_channels": [24, 32, 48, 48],
    "num_layers": 1,
    "patch_size": 4,
    "spatial_compression_ratio": 8,
    "temporal_compression_ratio": 8,
}


def new_vae() -> Any:
    """An untrained one, its weights from torch's global generator."""
    ensure_torchvision()
    from diffusers import AutoencoderKLCosmos

    return AutoencoderKLCosmos(**_CONFIG, latents_mean=None, latents_std=None)


def load_vae(folder: Path) -> Any:
    """The one of the checkpoint in `folder`."""
    ensure_torchvision()
    from diffusers import AutoencoderKLCosmos

    return AutoencoderKLCosmos.from_pretrained(folder / "vae", local_files_only=True).eval()


def save_vae(vae: Any, latents_NCThw: torch.Tensor, folder: Path) -> None:
    """Writes `folder`/vae; the statistics are those of `latents_NCThw`."""
    parts = (latents_NCThw[:, :, :1], latents_NCThw[:, :, 1:])
    mean_CT = torch.stack([part.mean((0, 2, 3, 4)) for part in parts], 1)
    std_CT = torch.stack([part.std((0, 2, 3, 4)) for part in parts], 1)
    vae.register_to_config(latents_mean=_every_frame(mean_CT), latents_std=_every_frame(std_CT))
    vae.save_pretrained(folder / "vae")


def encode(vae: Any, pixels_BCTHW: torch.Tensor) -> torch.Tensor:
    """Latents before normalisation, (B, z_dim, 1 + (T - 1) / 8, H / 8, W / 8)."""
    latents: torch.Tensor = vae.encode(pixels_BCTHW).latent_dist.mode()
    return latents


def decode(vae: Any, latents_BCThw: torch.Tensor) -> torch.Tensor:
    """Pixels, not clamped."""
    pixels: torch.Tensor = vae.decode(latents_BCThw).sample
    return pixels


@torch.no_grad()
def initialise(vae: Any) -> None:
    """Orthogonal convolutions, no biases, silent residual branches, identity in time."""
    from diffusers.models.autoencoders.autoencoder_kl_cosmos import (
        CosmosCausalAttention,
        CosmosCausalConv3d,
        CosmosResnetBlock3d,
    )

    for module in vae.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.orthogonal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        if isinstance(module, CosmosCausalConv3d) and module.kernel_size == (3, 1, 1):
            _last_frame(module)
    for module in vae.modules():
        if isinstance(module, CosmosResnetBlock3d):
            nn.init.zeros_(module.conv2.conv_t.weight)
        elif isinstance(module, CosmosCausalAttention):
            nn.init.zeros_(module.to_out[0].weight)
    vae.decoder.conv_out.conv_s.weight.mul_(0.2)  # pixels of unit range


def _last_frame(convolution: nn.Conv3d) -> None:
    """A convolution over time that passes the last frame through, and little of the others."""
    convolution.weight.mul_(0.1)
    convolution.weight[:, :, -1, 0, 0] = torch.eye(convolution.weight.shape[0])


def _every_frame(values_CT: torch.Tensor) -> list[float]:
    """(C, 2), of the first and of later latent frames, to the published flat list: 16 frames a channel."""
    first, later = values_CT[:, :1], values_CT[:, 1:]
    every = torch.cat([first, later.expand(-1, NUM_STATISTICS - 1)], 1)
    return [round(float(value), 4) for value in every.flatten()]
