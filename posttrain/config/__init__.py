"""The sweep file: what it may say, where it is wrong, and what it means after defaults and overrides.

    yaml_lines   text -> plain data in which every value knows its line
    tree         `defaults:` files below, command line above, origins kept
    loading      tree + search-space file -> SweepConfig, or a ConfigError with all mistakes
    trial, ...   one module per section, pydantic, frozen and strict
    support      which strategy goes with which family: one table for all;  suited  what depends on the kind
    crosscheck   what two sections must agree on
    space        kinds of search dimension;  space_check  their names and corners;  drawn  drawn values merged in
    advice       what is legal but doubtful: the warnings of `check`
    resolved     the resolved file with where each value came from

Nothing here imports torch, Ray or Optuna.
"""

from posttrain.config.augment import AugmentationConfig
from posttrain.config.data import DataConfig, SourceConfig, StageConfig
from posttrain.config.drawn import merge, value_at
from posttrain.config.evaluation import (
    METRICS,
    METRICS_OF,
    AnswersConfig,
    EvaluationConfig,
    PsnrConfig,
    SuiteConfig,
)
from posttrain.config.filters import FILTERS, FilterConfig, StandardFilters, filters_in_force
from posttrain.config.loading import Loaded, LoadedSingle, LoadedSweep, load_single, load_sweep, load_trial
from posttrain.config.model import ModelConfig
from posttrain.config.overfit import OverfitConfig
from posttrain.config.resolved import dump_resolved, trial_yaml
from posttrain.config.resources import ResourcesConfig
from posttrain.config.search import ObjectiveConfig, SchedulerConfig, SearchConfig
from posttrain.config.space import Choice, Dimension, LogUniform, RandInt, SearchSpace, Simplex, Uniform
from posttrain.config.strategy import FullConfig, LoraConfig, RewardConfig, RlConfig
from posttrain.config.support import SUPPORT, Kind, kind_of, refused
from posttrain.config.training import TrainingConfig
from posttrain.config.trial import SingleConfig, SweepConfig, TrialConfig, trial_config

__all__ = [
    "FILTERS",
    "METRICS",
    "METRICS_OF",
    "SUPPORT",
    "AnswersConfig",
    "AugmentationConfig",
    "Choice",
    "DataConfig",
    "Dimension",
    "EvaluationConfig",
    "FilterConfig",
    "FullConfig",
    "Kind",
    "Loaded",
    "LoadedSingle",
    "LoadedSweep",
    "LogUniform",
    "LoraConfig",
    "ModelConfig",
    "ObjectiveConfig",
    "OverfitConfig",
    "PsnrConfig",
    "RandInt",
    "ResourcesConfig",
    "RewardConfig",
    "RlConfig",
    "SchedulerConfig",
    "SearchConfig",
    "SearchSpace",
    "Simplex",
    "SingleConfig",
    "SourceConfig",
    "StageConfig",
    "StandardFilters",
    "SuiteConfig",
    "SweepConfig",
    "TrainingConfig",
    "TrialConfig",
    "Uniform",
    "dump_resolved",
    "filters_in_force",
    "kind_of",
    "load_single",
    "load_sweep",
    "load_trial",
    "merge",
    "refused",
    "trial_config",
    "trial_yaml",
    "value_at",
]
