"""What the filters say of each sample that can be read: its scores, and its faults if it has any.

scan -> Judged (scores, no faults yet) --filters--> Judged (faults) --> kept, or Dropped for the first fault
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic

from posttrain.data.sample import Dropped, Kept, Sample


@dataclass(frozen=True)
class Fault:
    """Why a filter drops a sample.

    Attributes:
        filter: the filter's type, such as `sharpness`.
        reason: for people; the part before the colon is its kind and stays the same for all samples.
        value: what was measured; None where it is no number.
        threshold: what it was held against.
        other: of duplicates, the id of the sample that is kept instead.
    """

    filter: str
    reason: str
    value: float | None = None
    threshold: float | None = None
    other: str | None = None

    @property
    def kind(self) -> str:
        """What summaries count by."""
        return self.reason.partition(":")[0]

    def to_record(self) -> dict[str, Any]:
        """The fault as the manifest writes it."""
        return asdict(self)


@dataclass(frozen=True)
class Judged(Generic[Kept]):
    """One readable sample, kept or not.

    Attributes:
        scores: by name, finite; a score that does not apply, or was not asked for, is absent.
        faults: in the order in which filters apply; () means kept, the first one is the reason.
        signature: what near duplicates are told by, see `scores.signature`; empty where it was not measured.
    """

    sample: Kept
    scores: Mapping[str, float]
    faults: tuple[Fault, ...] = ()
    signature: str = ""

    @property
    def kept(self) -> bool:
        """Whether no filter drops it."""
        return not self.faults

    def to_dropped(self) -> Dropped:
        """The sample among those that are not used; its reason is that of the first fault."""
        return Dropped(self.sample.id, _medium(self.sample), self.faults[0].reason)


def _medium(sample: Any) -> Path:
    """The file to look at: the video, the first picture, or the row's source where it shows nothing."""
    if isinstance(sample, Sample):
        return sample.video
    files: list[Path] = [*sample.images, *([] if sample.video is None else [sample.video])]
    return files[0] if files else Path(sample.source)
