"""The whole of a file: one trial's configuration, and the sweep around it."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from posttrain.config.base import OFF_IS_NONE, RunName, Section, refusals
from posttrain.config.crosscheck import SWEEP_CHECKS, TRIAL_CHECKS, Check, findings
from posttrain.config.data import DataConfig
from posttrain.config.evaluation import EvaluationConfig
from posttrain.config.model import ModelConfig
from posttrain.config.overfit import OverfitConfig
from posttrain.config.resources import ResourcesConfig
from posttrain.config.search import SearchConfig
from posttrain.config.space import SearchSpace
from posttrain.config.strategy import RlConfig, StrategyConfig
from posttrain.config.training import TrainingConfig


class TrialConfig(Section):
    """Everything that one run needs."""

    name: RunName
    """The run's folder below runs/, and the name of its Optuna study."""
    model: ModelConfig
    strategy: StrategyConfig
    data: DataConfig
    training: TrainingConfig
    evaluation: EvaluationConfig = EvaluationConfig()
    overfit: Annotated[OverfitConfig | None, OFF_IS_NONE] = OverfitConfig()
    """The gate; `off` trains without it."""
    resources: ResourcesConfig = ResourcesConfig()

    @model_validator(mode="after")
    def _sections_agree(self) -> "TrialConfig":
        found = findings(self.checks(), {name: getattr(self, name) for name in type(self).model_fields})
        if found:
            raise refusals(found)
        return self

    def num_batches(self, num_steps: int) -> int:
        """Batches drawn in the first optimizer steps: one for each, in RL for each `strategy.iterations` of them."""
        return -(-num_steps // (self.strategy.iterations if isinstance(self.strategy, RlConfig) else 1))

    @classmethod
    def checks(cls) -> tuple[Check, ...]:
        """The checks across sections."""
        return TRIAL_CHECKS


class SingleConfig(TrialConfig):
    """A trial config with the objective that its result is judged by: a sweep file without its search space."""

    search: SearchConfig = SearchConfig()
    """Only the objective is used."""
    search_space: ClassVar[Mapping[str, Any]] = {}
    """Nothing is searched."""

    @classmethod
    def checks(cls) -> tuple[Check, ...]:
        return TRIAL_CHECKS + SWEEP_CHECKS


class SweepConfig(TrialConfig):
    """A trial config with what is searched, and how."""

    search_space: Annotated[SearchSpace, Field(min_length=1)]
    """Configuration path -> dimension; or the name of a file that holds the same."""
    search: SearchConfig = SearchConfig()

    @classmethod
    def checks(cls) -> tuple[Check, ...]:
        return TRIAL_CHECKS + SWEEP_CHECKS


def trial_config(config: TrialConfig) -> TrialConfig:
    """The trial part of a sweep; a TrialConfig as it is."""
    if type(config) is TrialConfig:
        return config
    return TrialConfig.model_construct(**{name: getattr(config, name) for name in TrialConfig.model_fields})
