"""How the search space is searched, for which objective, and when a trial is stopped early."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from posttrain.config.base import Section, refusal
from posttrain.config.evaluation import METRICS
from posttrain.config.support import nearest


class ObjectiveConfig(Section):
    """The metric that ranks trials, at its best step."""

    metric: str = "held_out/loss"
    """<suite>/<loss | psnr>"""
    mode: Literal["min", "max"] = "min"
    """The direction that is better; told by the metric when left out."""

    @model_validator(mode="before")
    @classmethod
    def _mode_of_metric(cls, given: Any) -> Any:
        if isinstance(given, dict) and "mode" not in given and isinstance(given.get("metric"), str):
            return {**given, "mode": METRICS.get(given["metric"].rpartition("/")[2], "min")}
        return given

    @field_validator("metric")
    @classmethod
    def _known_metric(cls, metric: str) -> str:
        suite, _, name = metric.rpartition("/")
        if not suite or name not in METRICS:
            near = nearest(name, tuple(METRICS)) or "loss"
            raise refusal(
                f"found {metric!r}, expected <suite>/<metric> with a metric of {', '.join(METRICS)}",
                f"for example {suite or 'held_out'}/{near}",
            )
        return metric

    @model_validator(mode="after")
    def _right_direction(self) -> "ObjectiveConfig":
        right = METRICS[self.metric.rpartition("/")[2]]
        if self.mode != right:
            raise refusal(
                f"found {self.mode!r}, but a better {self.metric} is a {'lower' if right == 'min' else 'higher'} one",
                f"write `mode: {right}`, or leave it out",
                at=("mode",),
            )
        return self


class SchedulerConfig(Section):
    """When losers are stopped."""

    type: Literal["asha", "none"] = "asha"
    grace: Annotated[float, Field(gt=0, le=1)] = 0.15
    """Share of the steps before which no trial is stopped."""
    reduction: Annotated[int, Field(ge=2)] = 3
    """One of so many trials passes each rung."""


class SearchConfig(Section):
    """The search over the search space."""

    trials: Annotated[int, Field(ge=1)] = 16
    objective: ObjectiveConfig = ObjectiveConfig()
    sampler: Literal["tpe", "random"] = "tpe"
    scheduler: SchedulerConfig = SchedulerConfig()
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the draws of configurations."""
