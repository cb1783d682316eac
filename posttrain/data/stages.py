"""The mixture of a training: the file's stages held against the training samples.

    data section + training samples --plan_mixture--> Mixture: stages with weights over pools --MixtureSchedule--> draws

What the data cannot give is told here, before anything runs: a stage without a step, a group without a sample, a
column that no sample has. What is left out on the way is counted in `Mixture.warnings`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from posttrain.config import DataConfig, StageConfig
from posttrain.config.drawn import DEFAULT_STAGE
from posttrain.config.groups import MISSING
from posttrain.config.support import nearest
from posttrain.data.mixture import Stage
from posttrain.data.pools import Pool, Train, conditions, groups_of, listed, values_of
from posttrain.errors import DataError


@dataclass(frozen=True)
class Mixture:
    """Stages over pools of training samples.

    Attributes:
        stages: their weights go by the key of a pool.
        pools: by their keys.
        warnings: samples that no stage draws though the file does not say so.
    """

    stages: list[Stage]
    pools: dict[str, Pool]
    warnings: list[str]

    def expected(self, stage: Stage) -> dict[str, float]:
        """Draws of each source in a stage; what is realised differs by less than one for each group."""
        found: dict[str, float] = {}
        for key, weight in stage.normalised.items():
            for source in self.pools[key].indices:
                drawn = weight * stage.num_draws * self.pools[key].share(source)
                found[source] = found.get(source, 0.0) + drawn
        return found

    def eligible(self, stage: Stage) -> dict[str, int]:
        """Samples of each source that a stage draws from."""
        return eligible(stage, self.pools)


def eligible(stage: Stage, pools: Mapping[str, Pool]) -> dict[str, int]:
    """Samples of each source that a stage draws from."""
    found: dict[str, int] = {}
    for key in stage.normalised:
        for source, chosen in pools[key].indices.items():
            found[source] = found.get(source, 0) + len(chosen)
    return dict(sorted(found.items()))


def plan_mixture(data: DataConfig, train: Train[Any], num_steps: int, batch_size: int) -> Mixture:
    """The mixture of a training run of `num_steps` batches; stages begin and end on the nearest of them.

    Raises:
        DataError: a stage is left without a step, or weighs or asks for what the samples do not have.
    """
    stages: list[Stage] = []
    pools: dict[str, Pool] = {}
    warnings: list[str] = []
    for stage, num_draws in stage_lengths(data, num_steps, batch_size):
        groups = groups_of(stage, train)
        weights = _weights(stage, groups, train, warnings)
        pools |= {groups[name].key: groups[name] for name in weights}
        stages.append(
            Stage(
                stage.name,
                num_draws,
                {groups[name].key: weight for name, weight in weights.items()},
                {groups[name].key: name for name in weights},
                stage.learning_rate_factor,
            )
        )
    return Mixture(stages, pools, warnings)


def stage_lengths(data: DataConfig, num_steps: int, batch_size: int) -> list[tuple[StageConfig, int]]:
    """The stages with their numbers of draws.

    Raises:
        DataError: a stage is left without a step.
    """
    if data.stages is None:
        return [(StageConfig(name=DEFAULT_STAGE, fraction=1.0), num_steps * batch_size)]
    found: list[tuple[StageConfig, int]] = []
    begin, share = 0, 0.0
    for stage in data.stages:
        share += stage.fraction
        end = round(share * num_steps)
        if end <= begin:
            raise DataError(
                f"data.stages.{stage.name}.fraction: {stage.fraction:g} of {num_steps} steps is no step at all; raise "
                "it, or train for more steps"
            )
        found.append((stage, (end - begin) * batch_size))
        begin = end
    return found


def _weights(
    stage: StageConfig, groups: Mapping[str, Pool], train: Train[Any], warnings: list[str]
) -> dict[str, float]:
    """The positive weight of each group that has samples; what the file does not weigh is warned of."""
    at = f"data.stages.{stage.name}"
    there = {name: len(train[name]) for name in train} if stage.by is None else values_of(stage.by, train)
    if not groups:
        total, place = sum(there.values()), next((path for path, _ in conditions(stage)), at)
        raise DataError(f"{place}: none of the {total} training samples is left by {_asked(stage)}; widen it")
    if stage.weights is None:
        warnings += _left_out(stage, {name: number for name, number in there.items() if name not in groups})
        if stage.by is not None and MISSING in groups:
            number = len(groups[MISSING])
            warnings.append(f"{at}.by: {number} training samples have no {stage.by!r}; they are the group `{MISSING}`")
        return dict.fromkeys(groups, 1.0)
    for name, weight in stage.weights.items():
        _check_group(name, weight, stage, groups, there)
    if stage.by is not None:
        warnings += _unweighted(stage, {name: len(pool) for name, pool in groups.items() if name not in stage.weights})
    return {name: weight for name, weight in stage.weights.items() if weight > 0}


def _check_group(
    name: str, weight: float, stage: StageConfig, groups: Mapping[str, Pool], there: Mapping[str, int]
) -> None:
    at = f"data.stages.{stage.name}.weights"
    if stage.by is not None and name not in there:
        raise DataError(f"{at}: no training sample has {stage.by} {name!r}; {_meant(name, there, stage)}")
    if weight == 0 or name in groups:
        return
    why = f"none of its {there[name]} training samples is left by {_asked(stage)}" if there.get(name) else "it is empty"
    raise DataError(
        f"{at}: {name} has weight {weight:.4g} and no sample to draw: {why}; give it weight 0, or find it samples"
    )


def _asked(stage: StageConfig) -> str:
    """The stage's conditions."""
    return " and ".join(f"{where.text!r}" for _, where in conditions(stage))


def _left_out(stage: StageConfig, empty: Mapping[str, int]) -> list[str]:
    if not empty:
        return []
    what = "sources" if stage.by is None else f"{stage.by} values"
    why = f"no training sample is left by {_asked(stage)}" if conditions(stage) else "there is no training sample"
    return [f"data.stages.{stage.name}: {what} of which {why}, and that are not drawn: {listed(empty)}"]


def _unweighted(stage: StageConfig, groups: Mapping[str, int]) -> list[str]:
    if not groups:
        return []
    return [
        f"data.stages.{stage.name}.weights: values of {stage.by} that have samples and no weight, and are not drawn: "
        f"{listed(groups)}"
    ]


def _meant(name: str, there: Mapping[str, int], stage: StageConfig) -> str:
    near = nearest(name, tuple(there))
    hint = f"did you mean {near!r}? " if near else ""
    return f"{hint}{stage.by} has {listed(there)}"
