"""How the tiny VAE learns within minutes on one core: an initialisation close to identity, and Muon.

Measured as PSNR after two minutes on small clips: Muon instead of AdamW 18 to 23 dB, single frames before clips 16 to
23 dB; and after 45 s on single frames, orthogonal weights without biases 20 to 23 dB. Residual branches start silent
and convolutions in time pass the last frame through, so that a still clip is right as soon as a frame is. A learning
rate of 0.02 and more costs 2 dB, and so does a batch of four clips.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from posttrain.models.torchvision_shim import ensure_torchvision

ensure_torchvision()  # diffusers imports torchvision while it is imported
from diffusers.models.autoencoders.autoencoder_kl_wan import (  # noqa: E402
    WanAttentionBlock,
    WanResample,
    WanResidualBlock,
)

_MOMENTUM = 0.95
# Newton-Schulz coefficients, iteration and scaling of Muon: https://kellerjordan.github.io/posts/muon
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_UPDATE_RMS = 0.2  # the size of an AdamW update, arXiv 2502.16982


@torch.no_grad()
def initialise(vae: nn.Module) -> None:
    """Orthogonal convolutions, no biases, silent residual branches, identity in time."""
    for module in vae.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            nn.init.orthogonal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in vae.modules():
        if isinstance(module, WanResidualBlock):
            nn.init.zeros_(module.conv2.weight)
        elif isinstance(module, WanAttentionBlock):
            nn.init.zeros_(module.proj.weight)
        elif isinstance(module, WanResample) and hasattr(module, "time_conv"):
            _pass_time_through(module.time_conv.weight)


def _pass_time_through(weight: torch.Tensor) -> None:
    num_out, num_in = weight.shape[:2]
    nn.init.kaiming_uniform_(weight, a=5**0.5)
    weight.mul_(0.5)
    weight[:, :, -1, 0, 0] += torch.eye(num_in).repeat(num_out // num_in, 1)


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalised, for weights of two or more dimensions."""

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float) -> None:
        super().__init__(parameters, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One update; `closure` is there for the interface."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:  # a single frame goes past the convolutions in time
                    continue
                state = self.state[parameter]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(parameter)
                momentum = state["momentum"].lerp_(parameter.grad, 1 - _MOMENTUM)
                update = _orthogonal(parameter.grad.lerp(momentum, _MOMENTUM).flatten(1))
                scale = _UPDATE_RMS * max(update.shape) ** 0.5
                parameter.add_(update.view_as(parameter), alpha=-group["lr"] * scale)


def _orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    a, b, c = _COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    result: torch.Tensor = x.T if tall else x
    return result


def optimisers(vae: nn.Module, lr: float) -> list[torch.optim.Optimizer]:
    """Muon for convolutions, AdamW for biases, gains and the rest."""
    convolutions = [p for p in vae.parameters() if p.dim() >= 4 and min(p.shape[:2]) > 1]
    chosen = {id(p) for p in convolutions}
    rest = [p for p in vae.parameters() if id(p) not in chosen]
    return [Muon(convolutions, lr), torch.optim.AdamW(rest, lr=0.3 * lr, betas=(0.9, 0.99), weight_decay=0.0)]
