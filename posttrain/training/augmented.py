"""Which view of its sample a draw reads: a function of the trial's seed and the draw's position.

The random numbers are a stream of their own, so that an augmentation that is switched on moves neither the noise nor
the dropped captions of the draws.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass

from posttrain.config import DataConfig
from posttrain.config.augment import PIXEL_TYPES, by_type
from posttrain.data import Sample
from posttrain.data.views import View, count_left_alone, plain, variant

_MAX_VIEWS = 1 << 16  # held in memory: working a view out costs more than looking it up


@dataclass(frozen=True)
class Reading:
    """What one draw reads.

    Attributes:
        given_sigma: the noise on given frames, in standard deviations of clean latents.
        types: the augmentations that act on the draw; dropped captions are the noise generator's and not among them.
    """

    view: View
    caption: str
    given_sigma: float
    types: frozenset[str]


class Augmenter:
    """The augmentations of one trial."""

    def __init__(self, data: DataConfig, seed: int) -> None:
        self._data = data
        self._seed = seed
        steps = by_type(data.augmentations)
        self._changes_pixels = any(name in PIXEL_TYPES for name in steps)
        self._paraphrase = steps.get("paraphrase")
        self._noise = steps.get("conditioning_noise")
        self._views: dict[tuple[str, str, int], View] = {}

    def reading(self, sample: Sample, stage: str, position: int) -> Reading:
        """What the draw at `position` reads of `sample` in `stage`."""
        view = self._view(sample, stage, position)
        types = set(view.types)
        caption, sigma = view.caption, 0.0
        if self._paraphrase is not None and view.paraphrases:
            stream = self._stream(position, "paraphrase")
            if stream.random() < self._paraphrase.probability:
                caption = stream.choice(view.paraphrases)
                types.add("paraphrase")
        if self._noise is not None:
            stream = self._stream(position, "conditioning_noise")
            if stream.random() < self._noise.probability:
                sigma = stream.random() * self._noise.max_sigma
                types.add("conditioning_noise")
        return Reading(view, caption, sigma, frozenset(types))

    def _view(self, sample: Sample, stage: str, position: int) -> View:
        if not self._changes_pixels:
            return plain(sample)
        index = self._stream(position, "variant").randrange(self._data.augmentation_variants)
        key = (sample.id, stage, index)
        if key not in self._views:
            if len(self._views) >= _MAX_VIEWS:
                self._views.clear()
            self._views[key] = variant(sample, stage, self._data, index)
        return self._views[key]

    def _stream(self, position: int, purpose: str) -> random.Random:
        return random.Random(f"{self._seed}:{position}:{purpose}")


def samples_left_alone(samples: Iterable[Sample], data: DataConfig) -> dict[str, dict[str, int]]:
    """Augmentation -> why it never acts on a sample -> the number of such samples."""
    counts = count_left_alone(samples, data)
    found: dict[str, dict[str, int]] = {name: {} for name, _ in counts}
    for (name, reason), number in counts.most_common():
        found[name][reason] = number
    return found
