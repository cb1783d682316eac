"""What every trial, and the base model before it, is measured on."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from posttrain.config.base import OFF_IS_NONE, Location, Name, Section, refusal
from posttrain.config.support import Kind

# Metric -> the direction that is better.
METRICS: dict[str, Literal["min", "max"]] = {
    "loss": "min",  # diffusion: at fixed noise; vision-language: cross-entropy of the true answer's tokens, in nats
    "psnr": "max",  # dB
    "accuracy": "max",  # share of right answers
    "format": "max",  # share of answers in the form that was asked for
    "reward": "max",  # the weighted sum of the rewards
}
# What is measured by how a trial is trained, the usual objective first.
METRICS_OF: dict[Kind, tuple[str, ...]] = {
    "diffusion": ("loss", "psnr"),
    "sft": ("accuracy", "loss", "format"),
    "rl": ("reward", "accuracy", "format", "loss"),
}
DEFAULT_SUITE = "held_out"
# What the data manifest calls samples that belong to no suite.
RESERVED = ("train", "dropped", "unused")


class SuiteConfig(Section):
    """A named set of samples that no trial trains on."""

    source: Location
    """The name of a data source (its held-out share is meant), a folder, or demo:<name>."""
    samples: Annotated[int, Field(ge=1)] = 16
    """At most this many clips or questions of it."""


class PsnrConfig(Section):
    """Continuations of held-out clips by the pipeline's own sampler, against the true frames, in dB."""

    clips: Annotated[int, Field(ge=1)] = 4
    """Clips per suite."""
    sampler_steps: Annotated[int, Field(ge=1)] = 10
    every: Annotated[int, Field(ge=1)] | Literal["end"] = "end"
    """Training steps between two measurements, or `end`: once, at the last step."""


class AnswersConfig(Section):
    """How a vision-language model is asked in an evaluation: the likeliest answer, word by word."""

    max_new_tokens: Annotated[int, Field(ge=1)] | None = None
    """An answer is cut there; as many as training allows, or half as long again as the longest true answer."""
    batch_size: Annotated[int, Field(ge=1)] = 16
    """Questions answered at once by a worker."""


class EvaluationConfig(Section):
    """Suites and how often they are measured. Equal for all trials of a sweep."""

    every: Annotated[int, Field(ge=1)] | None = None
    """Training steps between two evaluations; an eighth of the steps when left out."""
    holdout_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """The share of every source's videos or images that is kept out of the training."""
    suites: Annotated[dict[Name, SuiteConfig], Field(min_length=1)] | None = None
    """One suite named `held_out` of all sources' held-out shares when left out."""
    psnr: Annotated[PsnrConfig | None, OFF_IS_NONE] = PsnrConfig()
    """`off` measures the loss alone. Diffusion models."""
    answers: AnswersConfig = AnswersConfig()
    """Vision-language models."""

    @field_validator("suites")
    @classmethod
    def _names_are_free(cls, suites: dict[str, SuiteConfig] | None) -> dict[str, SuiteConfig] | None:
        taken = [name for name in suites or {} if name in RESERVED]
        if taken:
            message = f"found the name {taken[0]!r}, which the data manifest uses for other samples"
            raise refusal(message, "for example held_out", (taken[0],))
        return suites

    def eval_every(self, steps: int) -> int:
        """Training steps between two evaluations in a training of `steps`."""
        return self.every or max(1, steps // 8)

    @property
    def suite_names(self) -> tuple[str, ...]:
        """The suites' names, the default one included."""
        return tuple(self.suites) if self.suites is not None else (DEFAULT_SUITE,)
