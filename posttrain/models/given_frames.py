"""What a pipeline's own sampler encodes of the frames that it is given, kept like all other encodings.

The pipelines take pixels and encode them themselves, at every evaluation of every trial. Inside `known_to` the codec of
a pipeline answers from the cache where it was asked the same before: with the parameters of its posterior, so that what
the pipeline goes on to do with them (take the mean, or draw from its own generator) is the pipeline's own.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from posttrain.models.encoding_files import EncodingFiles, EntryGone

_PARAMETERS = "parameters"


@contextmanager
def known_to(vae: Any, key: str, files: EncodingFiles) -> Iterator[None]:
    """For the length of the block; `key` names the weights of the codec."""
    own = vae.encode
    posterior = _posterior(vae)

    def encode(pixels_BCTHW: torch.Tensor, return_dict: bool = True) -> Any:
        from diffusers.models.modeling_outputs import AutoencoderKLOutput

        path = files.path("given", f"{key}:{_digest(pixels_BCTHW)}")
        try:
            parameters = files.read(path, _PARAMETERS)[_PARAMETERS].to(pixels_BCTHW.device)
        except EntryGone:
            files.discard(path)
            parameters = own(pixels_BCTHW).latent_dist.parameters
            files.write(path, {_PARAMETERS: parameters.detach().cpu()})
        output = AutoencoderKLOutput(latent_dist=posterior(parameters))
        return output if return_dict else (output.latent_dist,)

    vae.encode = encode
    try:
        yield
    finally:
        del vae.encode  # the class's own comes through again


def _posterior(vae: Any) -> Any:
    """The class of what a codec tells of pixels; AutoencoderKLCosmos gives latents and no distribution."""
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution, IdentityDistribution

    return {"AutoencoderKLWan": DiagonalGaussianDistribution, "AutoencoderKLCosmos": IdentityDistribution}[
        type(vae).__name__
    ]


def _digest(pixels: torch.Tensor) -> str:
    content = pixels.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()
    return f"{pixels.dtype}:{tuple(pixels.shape)}:{hashlib.sha256(content).hexdigest()}"
