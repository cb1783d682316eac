"""What a draw reads of a sample: the plain one, or one of a bounded number of variants.

Every stage has `augmentation_variants` variants of each sample. A variant has a quantile for each augmentation of
pixels, and the augmentation acts in it where the quantile lies below its probability; its parameters (which part of
the picture, how fast) are the variant's own. The quantiles of a sample's variants are spread evenly over 0 to 1, so
that over the variants and the samples an augmentation acts in its share. All of it follows from the clip's content,
the stage and the variant's number: it is the same in every trial, worker and process, whatever their seeds, and where
a probability is searched a variant is one of two clips, not another one in every trial.

    sample, stage, number --variant--> View --decode_with, encode--> what the draw reads
"""

import hashlib
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from posttrain.config import DataConfig
from posttrain.config.augment import PIXEL_TYPES, by_type
from posttrain.data.caption_turns import turned
from posttrain.data.decode import Cut
from posttrain.data.sample import Sample
from posttrain.data.transform import PLAIN, Colour, Transform

# With the largest strength of 0.5 the hue turns by 15 degrees, a quarter of the way from red to yellow.
HUE_DEGREES = 30.0
TOO_SHORT = "its video is too short for the largest value"
NO_PARAPHRASES = "it has no paraphrases"
PACE = "its caption says how fast things go"
DIRECTION = "its caption says which way things go"

_PACE = re.compile(
    r"\b(?:slow\w*|fast\w*|quick\w*|rapid\w*|speed\w*|sped|swift\w*|accelerat\w+|decelerat\w+|gradual\w*|sudden\w*|"
    r"abrupt\w*|time-?lapse|real[- ]time|mph|km/h|seconds?|minutes?|hurr\w+|rush\w*|sprint\w*|brisk\w*|gentl[ey])\b",
    re.IGNORECASE,
)
_DIRECTION = re.compile(
    r"\b(?:left\w*|right\w*|up|down|upwards?|downwards?|forwards?|backwards?|towards?|away|into|onto|out|in|off|from|"
    r"through|across|then|before|after|first|finally|until|next|begin\w*|start\w*|end|ends|ending|stop\w*|open\w*|"
    r"clos\w+|enter\w*|exit\w*|leav\w+|arriv\w+|approach\w*|appear\w*|disappear\w*|fall\w*|fell|drop\w*|ris\w+|rose|"
    r"lift\w*|pour\w*|pick\w*|put\w*|plac\w+|throw\w*|thrown|threw|tak\w+|giv\w+|push\w*|pull\w*|grow\w*|melt\w*|"
    r"break\w*|broke\w*|build\w*|burn\w*|fill\w*|follow\w*|turn\w*|becom\w+|increas\w+|decreas\w+|zoom\w*|clockwise|"
    r"counter-?clockwise|walk\w*|run|runs|running|drive\w*|driving|fly\w*|flies|jump\w*|eat\w*|drink\w*|cut\w*|writ\w+)"
    r"\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class View:
    """What a draw may read of a sample.

    Attributes:
        transform: what is done to the pixels.
        caption: of the clip as it then is.
        paraphrases: the paraphrases that hold for it.
        types: the augmentations of pixels that act in it.
    """

    transform: Transform
    caption: str
    paraphrases: tuple[str, ...] = ()
    types: frozenset[str] = frozenset()


def plain(sample: Sample) -> View:
    """The sample as it is."""
    return View(PLAIN, sample.caption, sample.paraphrases)


def variant(sample: Sample, stage: str, data: DataConfig, index: int) -> View:
    """The variant `index` of a sample in a stage."""
    steps = _acting(sample, data)
    types = [name for name in steps if _quantile(sample, stage, name, data, index) < steps[name].probability]
    return _view(sample, stage, steps, types, index)


def variants(
    sample: Sample, stages: Iterable[str], data: DataConfig, searched: Mapping[str, tuple[float, float]]
) -> dict[str, View]:
    """Every view of a sample that draws of these stages can read, the plain one included, by the transform's key.

    Args:
        searched: augmentation -> the lowest and the highest probability that a trial may draw for it.
    """
    found = {PLAIN.key: plain(sample)}
    steps = _acting(sample, data)
    for stage in stages if steps else ():
        for index in range(data.augmentation_variants):
            for types in _sets(sample, stage, steps, data, index, searched):
                view = _view(sample, stage, steps, types, index)
                found.setdefault(view.transform.key, view)
    return found


def left_alone(sample: Sample, data: DataConfig) -> dict[str, str]:
    """The augmentations that never act on a sample, each with the reason."""
    found: dict[str, str] = {}
    for step in data.augmentations:
        reason = _REASONS[step.type](sample, data) if step.type in _REASONS else ""
        if reason:
            found[step.type] = reason
    return found


def count_left_alone(samples: Iterable[Sample], data: DataConfig) -> Counter[tuple[str, str]]:
    """(augmentation, why it never acts on a sample) -> the number of such samples, in the order of meeting them."""
    return Counter(told for sample in samples for told in left_alone(sample, data).items())


def largest_paces(data: DataConfig) -> list[float]:
    """The paces that decide whether a video is long enough, ascending: of `stride`, of `speed` and of both."""
    steps = by_type(data.augmentations)
    stride, speed = steps["stride"].max if "stride" in steps else 1.0, steps["speed"].max if "speed" in steps else 1.0
    return sorted({float(pace) for pace in (stride, speed, stride * speed) if pace > 1})


def _acting(sample: Sample, data: DataConfig) -> dict[str, Any]:
    """The augmentations of pixels that may act on a sample."""
    alone = left_alone(sample, data)
    return {
        name: step for name, step in by_type(data.augmentations).items() if name in PIXEL_TYPES and name not in alone
    }


def _sets(
    sample: Sample,
    stage: str,
    steps: Mapping[str, Any],
    data: DataConfig,
    index: int,
    searched: Mapping[str, tuple[float, float]],
) -> Iterator[list[str]]:
    """The sets of augmentations that can act together in a variant: one, and twice as many for each that is open."""
    certain, open_ = [], []
    for name, step in steps.items():
        # the file's own value is tried as well, and holds where the search is not active
        reached = (*searched.get(name, ()), step.probability)
        quantile = _quantile(sample, stage, name, data, index)
        if quantile < min(reached):
            certain.append(name)
        elif quantile < max(reached):
            open_.append(name)
    for number in range(len(open_) + 1):
        for chosen in combinations(open_, number):
            yield [*certain, *chosen]


def _view(sample: Sample, stage: str, steps: Mapping[str, Any], types: Collection[str], index: int) -> View:
    def draw(name: str, what: str) -> float:
        return _uniform(sample, stage, name, str(index), what)

    transform = Transform(
        pace=round(_stride(steps, types, draw) * _speed(steps, types, draw), 4),
        cut=_cut(steps["crop"], draw) if "crop" in types else Cut(),
        flip="flip" in types,
        reverse="reverse" in types,
        colour=_colour(steps["colour"], draw) if "colour" in types else None,
    )
    caption, paraphrases = sample.caption, sample.paraphrases
    if transform.flip:
        caption = turned(caption)[0] or caption
        paraphrases = tuple(text for text, _ in map(turned, paraphrases) if text is not None)
    return View(transform, caption, paraphrases, frozenset(types))


def _stride(steps: Mapping[str, Any], types: Collection[str], draw: Any) -> float:
    return float(2 + int(draw("stride", "k") * (steps["stride"].max - 1))) if "stride" in types else 1.0


def _speed(steps: Mapping[str, Any], types: Collection[str], draw: Any) -> float:
    """Even in the logarithm: twice as fast is as frequent as half as fast."""
    if "speed" not in types:
        return 1.0
    low, high = float(steps["speed"].min), float(steps["speed"].max)
    return round(math.exp(math.log(low) + draw("speed", "rate") * (math.log(high) - math.log(low))), 3)


def _cut(crop: Any, draw: Any) -> Cut:
    scale = min(crop.min_scale + draw("crop", "scale") * (1 - crop.min_scale), 0.999)
    return Cut(round(scale, 3), round(draw("crop", "x"), 3), round(draw("crop", "y"), 3))


def _colour(colour: Any, draw: Any) -> Colour:
    def factor(what: str, reach: float) -> float:
        return float(round((2 * draw("colour", what) - 1) * reach, 3))

    strength = float(colour.strength)
    return Colour(
        1 + factor("brightness", strength),
        1 + factor("contrast", strength),
        1 + factor("saturation", strength),
        factor("hue", HUE_DEGREES * strength),
    )


def _quantile(sample: Sample, stage: str, name: str, data: DataConfig, index: int) -> float:
    """Of the variants of a sample, each has a place of its own among equal parts of 0 to 1."""
    count = data.augmentation_variants
    shuffled = sorted(range(count), key=lambda other: _uniform(sample, stage, name, str(other), "place"))
    return (shuffled.index(index) + _uniform(sample, stage, name, "", "offset")) / count


def _uniform(sample: Sample, *what: str) -> float:
    """A number from 0 to 1 that depends on the clip's content, not on where it lies or what it is called."""
    text = "\0".join([sample.content_hash, f"{sample.start_s!r}", *what])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest(), "big") / (1 << 56)


def _not_mirrored(sample: Sample, _: DataConfig) -> str:
    return turned(sample.caption)[1]


def _not_strided(sample: Sample, data: DataConfig) -> str:
    if sample.longest_pace < by_type(data.augmentations)["stride"].max:
        return TOO_SHORT
    return PACE if _PACE.search(sample.caption) else ""


def _not_sped(sample: Sample, data: DataConfig) -> str:
    steps = by_type(data.augmentations)
    strided = "stride" in steps and not _not_strided(sample, data)
    if sample.longest_pace < max(1.0, steps["speed"].max * (steps["stride"].max if strided else 1)):
        return TOO_SHORT
    return PACE if _PACE.search(sample.caption) else ""


def _not_reversed(sample: Sample, _: DataConfig) -> str:
    return DIRECTION if _DIRECTION.search(sample.caption) else ""


def _not_paraphrased(sample: Sample, _: DataConfig) -> str:
    return "" if sample.paraphrases else NO_PARAPHRASES


_REASONS = {
    "flip": _not_mirrored,
    "stride": _not_strided,
    "speed": _not_sped,
    "reverse": _not_reversed,
    "paraphrase": _not_paraphrased,
}
