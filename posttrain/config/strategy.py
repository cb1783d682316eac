"""How the model is changed: a union by `type`."""

from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from posttrain.config.base import Section, refusal

ATTENTION_AND_MLP = ("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2")
REWARDS = ("accuracy", "format", "length")


class LoraConfig(Section):
    """Low-rank adapters beside the frozen base of a diffusion model; of a Transfer model, in its ControlNet."""

    type: Literal["lora"]
    rank: Annotated[int, Field(ge=1)] = 16
    """The rank of each adapter."""
    alpha: Annotated[float, Field(gt=0)] | None = None
    """The adapter's output is scaled by alpha / rank; equal to the rank when left out."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability of dropping an input of the adapter in training."""
    target_modules: Annotated[tuple[str, ...], Field(strict=False, min_length=1)] = ATTENTION_AND_MLP
    """Ends of the names of the linear layers that get an adapter."""
    rslora: bool = False
    """Rank-stabilised: scales by alpha / sqrt(rank) instead (arXiv 2312.03732)."""
    dora: bool = False
    """Weight-decomposed: trains the magnitude of each adapted layer too (arXiv 2402.09353)."""


class FullConfig(Section):
    """Every weight trains, in float32; the forward pass computes in `training.precision`."""

    type: Literal["full"]
    modules: Annotated[tuple[Literal["transformer", "controlnet"], ...], Field(strict=False, min_length=1)] | None = (
        None
    )
    """Of a Transfer model: [controlnet] alone, which is the default, or [controlnet, transformer] for both."""
    freeze: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Beginnings of the names of parameters that stay as they are, for example model.visual."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of an exponential moving average of the weights, which is then what is measured and exported."""


class RewardConfig(Section):
    """One component of the reward, from 0 to 1 before its weight."""

    weight: float = 1.0
    """What its value is multiplied with in the sum; negative for a penalty."""
    file: str | None = None
    """A Python file of your own with a function of the reward's name; needs `allow_code: true`."""
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    """Of `length`: the completion length in tokens at which the reward has fallen to 0."""


def _weight_alone(given: Any) -> Any:
    """`accuracy: 1.0` is short for `accuracy: {weight: 1.0}`."""
    return {"weight": given} if isinstance(given, (int, float)) and not isinstance(given, bool) else given


_Reward = Annotated[RewardConfig, BeforeValidator(_weight_alone)]


def _accuracy_and_format() -> dict[str, RewardConfig]:
    return {"accuracy": RewardConfig(), "format": RewardConfig(weight=0.2)}


class RlConfig(Section):
    """GRPO: the model answers each question several times, and learns from which answers are better than the others."""

    type: Literal["rl"]
    generations: Annotated[int, Field(ge=2)] = 8
    """Answers to each question; a group whose rewards are all equal teaches nothing."""
    rewards: Annotated[dict[str, _Reward], Field(min_length=1, default_factory=_accuracy_and_format)]
    """By name: accuracy, format (<think>...</think><answer>...</answer>), length, or one of your own `file`."""
    allow_code: bool = False
    """Whether reward files may run; a sweep file runs no code without it."""
    kl: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the KL divergence from the base model (beta of GRPO); above 0 the base is held beside what trains, and
    the divergence is reported."""
    iterations: Annotated[int, Field(ge=1)] = 1
    """Optimizer steps on each batch of answers: more of them save sampling, on answers of an ever older model."""
    epsilon: Annotated[float, Field(gt=0)] = 0.2
    """How far a token's probability ratio may move before its gradient is clipped; it moves from the second of the
    `iterations` on, so with one of them it bounds nothing."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Of the sampled answers."""
    max_completion_tokens: Annotated[int, Field(ge=1)] = 256
    """An answer is cut there."""
    freeze: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Beginnings of the names of parameters that stay as they are, for example model.visual."""

    @field_validator("rewards")
    @classmethod
    def _known_rewards(cls, rewards: dict[str, RewardConfig]) -> dict[str, RewardConfig]:
        for name, reward in rewards.items():
            if reward.file is None and name not in REWARDS:
                message = f"there is no reward {name!r}, expected one of {', '.join(REWARDS)}"
                raise refusal(message, f"or name the Python file that has it: {name}: {{file: rewards.py}}", (name,))
            if reward.file is not None and PurePosixPath(reward.file).suffix != ".py":
                raise refusal(
                    f"found {reward.file!r}, expected a Python file", "for example rewards.py", (name, "file")
                )
            if reward.max_tokens is not None and name != "length":
                raise refusal("is for the reward `length`", "delete it", (name, "max_tokens"))
        return rewards

    @model_validator(mode="after")
    def _code_is_allowed(self) -> "RlConfig":
        files = [name for name, reward in self.rewards.items() if reward.file is not None]
        if files and not self.allow_code:
            message = f"{self.rewards[files[0]].file!r} is code, and a sweep file runs none by itself"
            raise refusal(
                message, "read that file, then write `allow_code: true` below strategy", ("rewards", files[0])
            )
        return self


# `strategy.type` -> the class of its section.
STRATEGY_CONFIGS: dict[str, type[LoraConfig] | type[FullConfig] | type[RlConfig]] = {
    "lora": LoraConfig,
    "full": FullConfig,
    "rl": RlConfig,
}
StrategyConfig = Annotated[LoraConfig | FullConfig | RlConfig, Field(discriminator="type")]
