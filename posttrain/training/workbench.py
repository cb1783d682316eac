"""What stays warm in a worker process from trial to trial: the loaded base, its encodings, the sample lists."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from posttrain.config import TrialConfig
from posttrain.data import Sample, Splits
from posttrain.models import load_family
from posttrain.models.base import VideoFamily
from posttrain.models.encoding import EncodingStore


@dataclass(frozen=True)
class Workbench:
    """A loaded model and the data of one sweep; a trial borrows it and gives it back as it was."""

    family: VideoFamily
    store: EncodingStore
    dataset: Splits

    def samples(self) -> list[Sample]:
        """Every sample that training or a suite reads, once."""
        lists = [*self.dataset.train.values(), *self.dataset.suites.values()]
        return list({sample.id: sample for samples in lists for sample in samples}.values())


def open_workbench(
    config: TrialConfig, dataset: Splits, base_dir: Path, on_note: Callable[[str], None] | None = None
) -> Workbench:
    """Loads the base model of a trial; nothing is encoded yet.

    Raises:
        ModelError: the checkpoint is missing, unreadable or of another family than the file says.
    """
    family = load_family(config.model, config.training.precision, base_dir, device(), on_note)
    return Workbench(family, EncodingStore(family), dataset)


def device() -> torch.device:
    """The GPU that Ray (or the user) made visible to this process, else the CPU."""
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
