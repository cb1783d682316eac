"""The gate: can this configuration learn a few samples by heart?"""

from typing import Annotated

from pydantic import Field

from posttrain.config.base import Section, Share


class OverfitConfig(Section):
    """A short training on a few samples, and the thresholds it must reach."""

    samples: Annotated[int, Field(ge=1)] = 4
    steps: Annotated[int, Field(ge=1)] = 60
    batch_size: Annotated[int, Field(ge=1)] = 16
    """The gate's own, so that its verdict does not depend on the trial's."""
    probe: Share = 0.35
    """Diffusion: the loss at fixed noise, over the loss that needs no learning, must be at most this."""
    closure: Annotated[float, Field(gt=0)] = 0.5
    """Diffusion: the error of the pipeline's own sampler on the samples, over their variance: at most this."""
    contrast: Annotated[float, Field(ge=0)] = 1.5
    """Diffusion: the loss with the wrong caption, over the loss with the right one: at least this."""
    answer_loss: Annotated[float, Field(gt=0)] = 0.05
    """SFT: the loss on the answers that were trained on must be at most this, with every token right."""
    image_gain: Annotated[float, Field(ge=0)] = 0.1
    """SFT: how much higher the loss must be without the picture, where the answers differ."""
    reward_gain: Annotated[float, Field(ge=0)] = 0.2
    """RL: how much the mean reward must rise, in training and when it is measured afterwards."""
