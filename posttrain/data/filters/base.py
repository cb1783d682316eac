"""What filters take and give."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from posttrain.data.curation import Fault, Judged
from posttrain.data.rows import Row


@dataclass(frozen=True)
class Candidate:
    """A readable sample of any source.

    Attributes:
        place: the key of its scan: the source, or `suite:<name>` for a suite's own.
        order: of its scan among all.
        trained: whether its source is trained on; a suite's own samples are measured as they are, whatever filters say.
    """

    place: str
    order: int
    trained: bool
    judged: Judged[Any]

    @property
    def is_row(self) -> bool:
        """Whether it is a question rather than a clip."""
        return isinstance(self.judged.sample, Row)

    @property
    def text(self) -> str:
        """The caption, or the answer."""
        sample = self.judged.sample
        return str(sample.answer if isinstance(sample, Row) else sample.caption)


# Position among the candidates -> why the filter drops it.
Faults = dict[int, Fault]
# A filter: candidates and its section of the sweep file; it looks at nothing else.
FilterFunction = Callable[[Sequence[Candidate], Any], Faults]


def by_place(candidates: Sequence[Candidate]) -> Mapping[str, list[int]]:
    """Positions of the candidates of each source."""
    places: dict[str, list[int]] = {}
    for position, candidate in enumerate(candidates):
        places.setdefault(candidate.place, []).append(position)
    return places


def below(name: str, kind: str, what: str, value: float, threshold: float) -> Fault:
    """The fault of a score under its threshold."""
    return Fault(name, f"{kind}: {what} {value:.4g}, below {threshold:g}", value, threshold)


def above(name: str, kind: str, what: str, value: float, threshold: float) -> Fault:
    """The fault of a score over its threshold."""
    return Fault(name, f"{kind}: {what} {value:.4g}, above {threshold:g}", value, threshold)
