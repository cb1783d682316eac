"""All suites of a sweep file, measured on whatever the transformer is at the moment: base, adapter or between."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from posttrain.config import METRICS as METRIC_MODES
from posttrain.config import EvaluationConfig
from posttrain.data import Sample
from posttrain.evaluation.continuation import codec_psnr, continuations
from posttrain.evaluation.fixed_noise import validation_loss
from posttrain.models.base import Frames, VideoFamily
from posttrain.models.encoding import EncodingStore
from posttrain.tracking.metrics import Mode


@dataclass(frozen=True)
class Answered:
    """A question to look at, with the true answer and the model's own."""

    question: str
    true: str
    given: str
    right: bool


@dataclass
class Evaluation:
    """Metrics by name, `<suite>/<metric>`, and what people look at by suite.

    Attributes:
        frames: (true, sampled) pairs.
        answers: of vision-language models.
    """

    values: dict[str, float] = field(default_factory=dict)
    frames: dict[str, list[tuple[Frames, Frames]]] = field(default_factory=dict)
    answers: dict[str, list[Answered]] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluator:
    """The suites of one sweep: every trial is measured on the same clips with the same noise."""

    config: EvaluationConfig
    suites: Mapping[str, Sequence[Sample]]

    def evaluate(self, family: VideoFamily, store: EncodingStore, *, sample_clips: bool) -> Evaluation:
        """The fixed-noise loss of every suite, and with `sample_clips` the PSNR of continuations too."""
        result = Evaluation()
        for suite, samples in self.suites.items():
            result.values[f"{suite}/loss"] = float(validation_loss(family, store, samples).mean().item())
            if sample_clips and self.config.psnr is not None:
                clips = samples[: self.config.psnr.clips]
                found = continuations(family, store, clips, sampler_steps=self.config.psnr.sampler_steps)
                result.values[f"{suite}/psnr"] = float(found.psnr_N.mean().item())
                result.frames[suite] = found.frames
        return result

    def ceilings(self, family: VideoFamily, store: EncodingStore) -> dict[str, float]:
        """The PSNR in dB that the codec alone leaves, by suite: the most a trial can reach."""
        if self.config.psnr is None:
            return {}
        clips = {suite: samples[: self.config.psnr.clips] for suite, samples in self.suites.items()}
        return {suite: float(codec_psnr(family, store, chosen).mean().item()) for suite, chosen in clips.items()}


def mode_of(metric: str) -> Mode:
    """`min` or `max` for a metric name `<suite>/<metric>`."""
    return METRIC_MODES[metric.rsplit("/", 1)[-1]]
