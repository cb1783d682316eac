"""The duplicate filter: of several copies one stays.

Exact copies have the same file content and window (rows: the same media and question). Near copies look the same and
the same happens in them, see `signature`; windows of one file are never copies of each other. Samples are taken in the
order in which they have the right to stay, and each is held against those that stayed: a suite's own first, then by
`quality`, source, size of the picture, sharpness and id. Memory is that of one block of them against all.
"""

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from posttrain.config.filters import DuplicateFilter
from posttrain.data.curation import Fault
from posttrain.data.filters.base import Candidate, Faults
from posttrain.data.rows import Row
from posttrain.data.signature import BITS, EVENTS, LOOKS, Indices, Signatures, read_signatures

_BLOCK = 256
# Share of pairs that look alike from which it pays to compare the whole block by what happens: a fixed camera's.
_MANY = 0.01
# What the bits of what happens are a share of: a copy changes half as many again of them as of those of its pictures.
_EVENT_BITS = 1.5 * EVENTS * BITS


def duplicates(candidates: Sequence[Candidate], config: DuplicateFilter) -> Faults:
    """Samples that are trained on although another one shows the same."""
    order = sorted(range(len(candidates)), key=lambda position: _right_to_stay(candidates[position]))
    found = _exact(candidates, order)
    compared = [position for position in order if position not in found and candidates[position].judged.signature]
    return found | _near(candidates, compared, config.distance)


def _right_to_stay(candidate: Candidate) -> tuple[bool, float, int, float, float, str]:
    judged = candidate.judged
    quality = judged.sample.metadata.get("quality")
    known = isinstance(quality, int | float) and not isinstance(quality, bool) and math.isfinite(quality)
    pixels = judged.scores.get("height", 0.0) * judged.scores.get("width", 0.0)
    return (
        candidate.trained,
        -float(quality) if known else math.inf,
        candidate.order,
        -pixels,
        -judged.scores.get("sharpness", 0.0),
        judged.sample.id,
    )


def _exact(candidates: Sequence[Candidate], order: Sequence[int]) -> Faults:
    found: Faults = {}
    first: dict[Hashable, int] = {}
    for position in order:
        candidate = candidates[position]
        first_position = first.setdefault(_identity(candidate), position)
        # suites may share their samples with each other; only what is trained on is dropped
        if candidate.trained and first_position != position:
            stays = candidates[first_position].judged.sample.id
            what = "media and question" if candidate.is_row else "file and time"
            found[position] = Fault("duplicate", f"duplicate: the same {what} as {stays}", 0.0, 0.0, stays)
    return found


def _identity(candidate: Candidate) -> Hashable:
    sample = candidate.judged.sample
    return (sample.media_hashes, sample.turns) if isinstance(sample, Row) else (sample.content_hash, sample.start_s)


def _near(candidates: Sequence[Candidate], order: Sequence[int], distance: float) -> Faults:
    if not order:
        return {}
    files: dict[str, int] = {}
    pool = _Pool(
        read_signatures([candidates[position].judged.signature for position in order]),
        np.array([files.setdefault(candidates[at].judged.sample.content_hash, len(files)) for at in order]),
        np.array([candidates[position].trained for position in order]),
    )
    found: Faults = {}
    for later, earlier, share in _copies(pool, distance):
        stays = candidates[order[earlier]].judged.sample.id
        reason = f"near duplicate: differs from {stays} in {share:.1%} of its bits"
        found[order[later]] = Fault("duplicate", reason, round(share, 4), distance, stays)
    return found


@dataclass(frozen=True)
class _Pool:
    """Samples in the order in which they have the right to stay: signatures, numbers of files, what is trained on."""

    signatures: Signatures
    files: Indices
    trained: npt.NDArray[np.bool_]


def _copies(pool: _Pool, distance: float) -> Iterator[tuple[int, int, float]]:
    """(sample, the one that stays instead, share of differing bits) of every sample that does not stay."""
    stays = np.ones(len(pool.files), bool)
    for begin in range(0, len(pool.files), _BLOCK):
        block = slice(begin, min(begin + _BLOCK, len(pool.files)))
        columns = np.flatnonzero(stays[: block.stop])
        for later, earlier, share in _pairs(pool, block, columns, distance):
            if stays[later] and stays[earlier]:
                stays[later] = False
                yield later, earlier, share


def _pairs(pool: _Pool, block: slice, columns: Indices, distance: float) -> list[tuple[int, int, float]]:
    """Pairs of a sample of the block and an earlier one of `columns` that are copies, in their order."""
    signatures = pool.signatures
    looks = signatures.look_bits(block, columns)
    alike = looks <= distance * LOOKS * BITS
    if alike.mean() > _MANY:
        every = np.arange(block.start, block.stop)[:, None]
        alike &= _event_bits(signatures, every, columns[None, :]) <= distance * _EVENT_BITS
    rows, places = np.nonzero(alike)
    later, earlier = rows + block.start, columns[places]
    mask = (earlier < later) & pool.trained[later] & (pool.files[earlier] != pool.files[later])
    later, earlier, bits = later[mask], earlier[mask], looks[rows[mask], places[mask]]
    events = _event_bits(signatures, later, earlier)
    same = (events <= distance * _EVENT_BITS) & signatures.same_thumbs(later, earlier)
    shares = np.maximum(bits / (LOOKS * BITS), events / _EVENT_BITS)
    return sorted(zip(later[same].tolist(), earlier[same].tolist(), shares[same].tolist(), strict=True))


def _event_bits(signatures: Signatures, one: Indices, other: Indices) -> npt.NDArray[np.uint16]:
    """Differing bits of what happens, 0 to 256, of pairs, or of rows and columns that broadcast."""
    parts = [signatures.event_bits(part, one, other) for part in range(EVENTS)]
    return np.asarray(sum(parts[1:], start=parts[0].astype(np.uint16)), np.uint16)
