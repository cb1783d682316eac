"""What the trials of a sweep read of its samples: every view that can be drawn, so that all are encoded beforehand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from posttrain.config import DataConfig, TrialConfig
from posttrain.config.drawn import DEFAULT_STAGE
from posttrain.data import Sample
from posttrain.data.transform import PLAIN, Transform
from posttrain.data.views import variants


@dataclass(frozen=True)
class Reads:
    """The augmentations of a sweep, and the samples that they act on.

    Attributes:
        data: of any trial; probabilities that are searched count as `searched` says. None: only plain samples are read.
        trained: ids of the samples that are trained on; the others are read as they are.
        searched: augmentation -> the lowest and the highest probability that a trial may draw.
    """

    data: DataConfig | None = None
    trained: frozenset[str] = frozenset()
    searched: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @classmethod
    def of_sweep(
        cls, config: TrialConfig, train: Mapping[str, Sequence[Any]], searched: Mapping[str, Sequence[float]]
    ) -> "Reads":
        """What trials read that differ from `config` in what is searched."""
        ids = frozenset(sample.id for samples in train.values() for sample in samples)
        return cls(config.data, ids, {name: (low, high) for name, (low, high) in searched.items()})

    def of(self, samples: Sequence[Sample]) -> tuple[list[tuple[Sample, Transform]], list[str]]:
        """The clips to encode, each sample with what is done to its pixels, and the texts, each once."""
        clips: list[tuple[Sample, Transform]] = []
        captions = {sample.caption for sample in samples}
        paraphrased = self.data is not None and any(step.type == "paraphrase" for step in self.data.augmentations)
        for sample in samples:
            if self.data is None or sample.id not in self.trained:
                clips.append((sample, PLAIN))
                continue
            views = variants(sample, _stages(self.data), self.data, self.searched).values()
            clips += [(sample, view.transform) for view in views]
            captions.update(view.caption for view in views)
            captions.update(text for view in views if paraphrased for text in view.paraphrases)
        return clips, sorted(captions)


PLAIN_ALONE = Reads()


def _stages(data: DataConfig) -> list[str]:
    return [DEFAULT_STAGE] if data.stages is None else [stage.name for stage in data.stages]
