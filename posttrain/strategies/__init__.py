"""How a model is changed: which parameters train, and how they are written and read back.

`STRATEGIES` is the registry: one literal dict from `strategy.type` to the implementation.
"""

from posttrain.strategies.base import Strategy
from posttrain.strategies.full import FullStrategy
from posttrain.strategies.lora import LoraStrategy

STRATEGIES: dict[str, type[Strategy]] = {"lora": LoraStrategy, "full": FullStrategy, "rl": FullStrategy}

__all__ = ["STRATEGIES", "Strategy"]
