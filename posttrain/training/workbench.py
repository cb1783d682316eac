"""What stays warm in a worker process from trial to trial: the loaded base, what is encoded of the data, the samples.

`Workbench` is what a trial, the gate and a slot ask of it; there is one implementation for diffusion models and one
for vision-language models.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from posttrain.config import TrialConfig, kind_of
from posttrain.data import Splits
from posttrain.evaluation.suites import Evaluation
from posttrain.models.base import Trainable
from posttrain.training.draws import Draws
from posttrain.training.reads import PLAIN_ALONE, Reads

Note = Callable[[str], None]
# Called with what is done and what there is in all.
Progress = Callable[[int, int], None]


class Workbench(ABC):
    """A loaded model and the data of one sweep; a trial borrows it and gives it back as it was."""

    dataset: Splits[Any]

    @property
    @abstractmethod
    def model(self) -> Trainable:
        """What a strategy is attached to."""

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self.model.device

    @property
    @abstractmethod
    def identity(self) -> list[str]:
        """Names everything of the base model that training and measuring depend on."""

    def depends_on(self, config: TrialConfig) -> list[str]:
        """What a verdict on a trial depends on besides its configuration and its samples."""
        return self.identity

    def content(self, sample: Any) -> tuple[Any, ...]:
        """All that training reads of a sample."""
        return (sample.content_hash, sample.start_s, self.label(sample))

    @abstractmethod
    def label(self, sample: Any) -> str:
        """What tells one sample from another for the model: its caption, its answer."""

    @property
    @abstractmethod
    def size_unit(self) -> str:
        """What `sizes` counts: frames, tokens."""

    @abstractmethod
    def sizes(self, config: TrialConfig, samples: Sequence[Any]) -> dict[str, int]:
        """Sample id -> how much one draw of it shows the model; every worker asks for the same samples."""

    @abstractmethod
    def encode(
        self,
        samples: list[Any],
        progress: Progress,
        should_stop: Callable[[], bool],
        reads: Reads = PLAIN_ALONE,
    ) -> None:
        """Computes what can be computed once for all trials; the workers share the work.

        Args:
            reads: what trials read of the samples besides the plain ones.

        Raises:
            StopRequested: `should_stop`, which is asked between rounds on every worker, said so.
        """

    @abstractmethod
    def trainer(self, config: TrialConfig, draws: Draws, folder: Path, *, log_every: int) -> Any:
        """A `KeepingTrainer` over these draws, with the trial's settings."""

    @abstractmethod
    def evaluate(self, config: TrialConfig, step: int | None) -> Evaluation:
        """All suites at a step of a trial, whose costly metrics may not be due; all of them where `step` is None."""

    def augmented(self, config: TrialConfig, draws: Draws, num_draws: int) -> dict[str, dict[str, Any]]:
        """What the augmentations of a trial did in its first draws; see `PlanDataset.augmented`."""
        return {}

    @property
    @abstractmethod
    def encoded(self) -> tuple[int, int]:
        """What this process has encoded for the cache, and what of it because an entry was gone or damaged."""

    def ceilings(self, config: TrialConfig) -> dict[str, float]:
        """Metrics that no training can surpass, by suite; of diffusion models the PSNR that the codec leaves."""
        return {}

    def samples(self) -> list[Any]:
        """Every sample that training or a suite reads, once."""
        lists = [*self.dataset.train.values(), *self.dataset.suites.values()]
        return list({sample.id: sample for samples in lists for sample in samples}.values())


def open_workbench(config: TrialConfig, dataset: Splits[Any], base_dir: Path, on_note: Note | None = None) -> Workbench:
    """Loads the base model of a trial; nothing is encoded yet.

    Raises:
        ModelError: the checkpoint is missing, unreadable or of another family than the file says.
    """
    if kind_of(config.model.family, config.strategy.type) == "diffusion":
        from posttrain.training.video_bench import VideoBench

        return VideoBench.open(config, dataset, base_dir, device(), on_note)
    from posttrain.training.chat_bench import ChatBench

    return ChatBench.open(config, dataset, base_dir, device(), on_note)


def device() -> torch.device:
    """The GPU that Ray (or the user) made visible to this process, else the CPU."""
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
