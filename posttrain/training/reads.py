"""What the trials of a sweep read of its samples: every view that can be drawn, so that all are encoded beforehand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from posttrain.config import DataConfig, StageConfig
from posttrain.config.augment import by_type
from posttrain.config.drawn import DEFAULT_STAGE
from posttrain.data import Sample
from posttrain.data.pools import groups_of
from posttrain.data.transform import PLAIN, Transform
from posttrain.data.views import variants


@dataclass(frozen=True)
class Reads:
    """The augmentations of a sweep, and the samples that they act on.

    Attributes:
        data: None: only plain samples are read.
        stages: id of a sample that is trained on -> the stages that may draw it; the others are read as they are.
        searched: augmentation -> the lowest and the highest probability that a trial may draw.
    """

    data: DataConfig | None = None
    stages: Mapping[str, Sequence[str]] = field(default_factory=dict)
    searched: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @classmethod
    def of_sweep(
        cls, data: DataConfig, train: Mapping[str, Sequence[Any]], searched: Mapping[str, Sequence[float]]
    ) -> "Reads":
        """What trials read whose stages draw no more than those of `data`, see `widest_data`."""
        if not data.augmentations:
            return cls()
        stages: dict[str, list[str]] = {}
        for stage in data.stages or (StageConfig(name=DEFAULT_STAGE, fraction=1.0),):
            for sample_id in _drawn(stage, train):
                stages.setdefault(sample_id, []).append(stage.name)
        return cls(data, stages, {name: (low, high) for name, (low, high) in searched.items()})

    def of(self, samples: Sequence[Sample]) -> tuple[list[tuple[Sample, Transform]], list[str]]:
        """The clips to encode, each sample with what is done to its pixels, and the texts, each once."""
        clips: list[tuple[Sample, Transform]] = []
        captions = {sample.caption for sample in samples}
        paraphrased = self.data is not None and "paraphrase" in by_type(self.data.augmentations)
        for sample in samples:
            if self.data is None or sample.id not in self.stages:
                clips.append((sample, PLAIN))
                continue
            views = variants(sample, self.stages[sample.id], self.data, self.searched).values()
            clips += [(sample, view.transform) for view in views]
            captions.update(view.caption for view in views)
            captions.update(text for view in views if paraphrased for text in view.paraphrases)
        return clips, sorted(captions)


PLAIN_ALONE = Reads()


def _drawn(stage: StageConfig, train: Mapping[str, Sequence[Any]]) -> set[str]:
    """The ids of the samples that a stage may draw."""
    weights = stage.weights
    pools = [pool for group, pool in groups_of(stage, train).items() if weights is None or weights.get(group, 0) > 0]
    return {
        train[source][int(place)].id for pool in pools for source, places in pool.indices.items() for place in places
    }
