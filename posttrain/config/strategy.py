"""How the model is changed. A union by `type`, of one member in this version."""

from typing import Annotated, Literal

from pydantic import Field

from posttrain.config.base import Section

ATTENTION_AND_MLP = ("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2")


class LoraConfig(Section):
    """Low-rank adapters beside the frozen base."""

    type: Literal["lora"]
    rank: Annotated[int, Field(ge=1)] = 16
    """The rank of each adapter."""
    alpha: Annotated[float, Field(gt=0)] | None = None
    """The adapter's output is scaled by alpha / rank; equal to the rank when left out."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability of dropping an input of the adapter in training."""
    target_modules: Annotated[tuple[str, ...], Field(strict=False, min_length=1)] = ATTENTION_AND_MLP
    """Ends of the names of the linear layers that get an adapter."""


StrategyConfig = Annotated[LoraConfig, Field(description="type: lora")]
