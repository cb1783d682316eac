"""The caption filter: its length, and captions that say the same of too many."""

from collections.abc import Sequence

from posttrain.config.filters import CaptionFilter
from posttrain.data.curation import Fault
from posttrain.data.filters.base import Candidate, Faults, by_place
from posttrain.data.filters.limits import limited
from posttrain.data.words import folded


def captions(candidates: Sequence[Candidate], config: CaptionFilter) -> Faults:
    """Captions (answers) of too few or too many words, and those that too many files (rows) of a source share."""
    return _repeated(candidates, config) | limited(candidates, config)


def _repeated(candidates: Sequence[Candidate], config: CaptionFilter) -> Faults:
    """Windows and copies of one file share its caption rightly: they count as one."""
    found: Faults = {}
    for positions in by_place(candidates).values() if config.max_repeats is not None else ():
        users: dict[str, set[str]] = {}
        for position in positions:
            candidate = candidates[position]
            sample = candidate.judged.sample
            users.setdefault(folded(candidate.text), set()).add(sample.id if candidate.is_row else sample.content_hash)
        for position in positions:
            count = len(users[folded(candidates[position].text)])
            if count > (config.max_repeats or 0):
                found[position] = _fault(candidates[position], count, config.max_repeats or 0)
    return found


def _fault(candidate: Candidate, count: int, most: int) -> Fault:
    what, users = ("answer", "rows") if candidate.is_row else ("caption", "videos")
    reason = f"{what} repeated: {count} {users} of the source have it, above {most}"
    return Fault("caption", reason, float(count), float(most))
