"""What curation says of a clip: it is a `Sample`, or it was `Dropped` for a reason."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from typing_extensions import TypeVar

from posttrain.data.files import shown
from posttrain.data.rows import Row
from posttrain.errors import DataError


@dataclass(frozen=True)
class ControlFile:
    """A control of a clip that is a video of its own; `content_hash` is SHA-256 of the file's bytes."""

    path: Path
    content_hash: str


@dataclass(frozen=True)
class Sample:
    """One window of one captioned video.

    Attributes:
        id: `<source>/<stem>`, with `@k` for a window after the first.
        source: the data source it belongs to.
        video: the file.
        start_s: where in the file the window begins.
        caption: the text, without white space around it.
        metadata: quality, camera and what else the caption file holds; the clip's own values go before its source's.
        content_hash: SHA-256 of the file's bytes.
        controls: the control files beside the video that the model asks for, by name.
        paraphrases: other captions of it, for the augmentation of that name.
        longest_pace: of the paces that augmentations ask for, the largest at which the window can be read.
    """

    id: str
    source: str
    video: Path
    start_s: float
    caption: str
    metadata: Mapping[str, Any]
    content_hash: str
    controls: Mapping[str, ControlFile] = field(default_factory=dict)
    paraphrases: tuple[str, ...] = ()
    longest_pace: float = 1.0

    @property
    def media_hashes(self) -> tuple[str, ...]:
        """The files it depends on; samples that share one stay on one side of a split."""
        return (self.content_hash,)

    @property
    def video_id(self) -> str:
        """The id without the window."""
        return self.id.rpartition("@")[0] if self.start_s > 0 else self.id


# What a source, a data set or a split is made of; clips where nothing else is said.
Kept = TypeVar("Kept", bound=Sample | Row, default=Sample)


@dataclass(frozen=True)
class Dropped:
    """A clip or a row that is not used; the part of `reason` before the colon is its kind.

    `video` is the file that the reason is about.
    """

    id: str
    video: Path
    reason: str

    @property
    def place(self) -> str:
        """The file as messages show it."""
        return shown(self.video)

    @property
    def kind(self) -> str:
        """What summaries count by."""
        return self.reason.partition(":")[0]


class UnusableClip(DataError):  # noqa: N818 - a verdict on a clip, mostly caught and counted
    """A clip that cannot be used; `reason` is short and stable, its part before the colon names the kind."""

    def __init__(self, reason: str, video: Path | None = None) -> None:
        super().__init__(f"{video}: {reason}" if video else reason)
        self.reason = reason
        self.video = video

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.reason, self.video)


def count_kinds(dropped: Iterable[Dropped]) -> dict[str, int]:
    """How many were dropped for each kind of reason, most frequent first."""
    return dict(Counter(entry.kind for entry in dropped).most_common())
