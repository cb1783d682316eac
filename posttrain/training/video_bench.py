"""The workbench of diffusion models: clips encoded once, the Trainer on the family's loss, suites at fixed noise."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from posttrain.config import TrialConfig
from posttrain.data import Sample, Splits
from posttrain.data.controls import identity
from posttrain.evaluation.ranks import own_share, together, world
from posttrain.evaluation.suites import Evaluation, Evaluator
from posttrain.models import load_family
from posttrain.models.base import Trainable, VideoFamily
from posttrain.models.encoding import EncodingStore
from posttrain.training.diffusion import DiffusionTrainer
from posttrain.training.draws import Draws
from posttrain.training.observer import StopRequested
from posttrain.training.plan import PlanDataset
from posttrain.training.reads import PLAIN_ALONE, Reads
from posttrain.training.trainer import settings
from posttrain.training.workbench import Note, Progress, Workbench

CLIPS_A_ROUND = 8  # clips that a worker encodes between two questions whether to stop


@dataclass(frozen=True)
class VideoBench(Workbench):
    """A loaded video family with the store of its encodings."""

    family: VideoFamily
    store: EncodingStore
    dataset: Splits

    @classmethod
    def open(
        cls, config: TrialConfig, dataset: Splits, base_dir: Path, device: torch.device, on_note: Note | None
    ) -> "VideoBench":
        """Loads the family; raises ModelError like `load_family`."""
        family = load_family(config.model, config.training.precision, base_dir, device, on_note)
        return cls(family, EncodingStore(family), dataset)

    @property
    def model(self) -> Trainable:
        return self.family

    @property
    def identity(self) -> list[str]:
        controls = [f"{name}={weight}" for name, weight in self.family.controls.items()]
        return [self.family.weights_key, self.family.latents_key, self.family.prompts_key, *controls]

    def label(self, sample: Sample) -> str:
        return ":".join([sample.caption, *(identity(name, sample) for name in self.family.control_names)])

    @property
    def size_unit(self) -> str:
        return "frames"

    def sizes(self, config: TrialConfig, samples: Sequence[Sample]) -> dict[str, int]:
        """The frames of the model's clip, whatever the sample."""
        return {sample.id: self.family.clip.frames for sample in samples}

    def encode(
        self,
        samples: list[Any],
        progress: Progress,
        should_stop: Callable[[], bool],
        reads: Reads = PLAIN_ALONE,
    ) -> None:
        clips, captions = reads.of(samples)
        self.store.know(captions)
        with together():
            if world()[0] == 0:
                self.store.reserve(clips, captions)
        with together():
            self.store.encode_captions([captions[i] for i in own_share(len(captions))])
        a_round = CLIPS_A_ROUND * world()[1]
        for start in range(0, len(clips), a_round):
            some = clips[start : start + a_round]
            with together():
                for position in own_share(len(some)):
                    self.store.encode_clip(*some[position])
            progress(start + len(some), len(clips))
            if should_stop():
                raise StopRequested

    @property
    def encoded(self) -> tuple[int, int]:
        return self.store.encoded, self.store.encoded_again

    def trainer(self, config: TrialConfig, draws: Draws, folder: Path, *, log_every: int) -> DiffusionTrainer:
        parallel = config.resources.parallel
        given = settings(config.training, folder, log_every=log_every, device=self.device, parallel=parallel)
        return DiffusionTrainer(self.family, self.plan(config, draws), TrainingArguments(**given))

    def plan(self, config: TrialConfig, draws: Draws) -> PlanDataset:
        """The draws with what the loss needs of each."""
        return PlanDataset(config, draws, self.store)

    def augmented(self, config: TrialConfig, draws: Draws, num_draws: int) -> dict[str, dict[str, Any]]:
        return self.plan(config, draws).augmented(num_draws)

    def evaluate(self, config: TrialConfig, step: int | None) -> Evaluation:
        psnr = config.evaluation.psnr
        due = psnr is not None and step is not None and psnr.every != "end" and step % psnr.every == 0
        evaluator = Evaluator(config.evaluation, self.dataset.suites)
        sample_clips = due or step is None or step == config.training.steps
        return evaluator.evaluate(self.family, self.store, sample_clips=sample_clips)

    def ceilings(self, config: TrialConfig) -> dict[str, float]:
        return Evaluator(config.evaluation, self.dataset.suites).ceilings(self.family, self.store)
