"""Filters that look at metadata: a condition, and classes that are too frequent."""

import hashlib
import json
import math
from collections.abc import Sequence
from typing import Any

from posttrain.config.filters import BalanceFilter, WhereFilter
from posttrain.config.where import parse
from posttrain.data.curation import Fault
from posttrain.data.filters.base import Candidate, Faults
from posttrain.errors import DataError

_ANSWER = "answer"


def where(candidates: Sequence[Candidate], config: WhereFilter) -> Faults:
    """Samples of which the condition does not hold.

    Raises:
        DataError: it reads a column that no sample has, or compares values of different kinds.
    """
    at = "data.filters.where.where"
    condition = parse(config.where)
    condition.check_columns({name for one in candidates for name in one.judged.sample.metadata}, at)
    found: Faults = {}
    for position, candidate in enumerate(candidates):
        metadata = candidate.judged.sample.metadata
        try:
            holds = condition.matches(metadata)
        except DataError as error:
            raise DataError(f"{at}: {candidate.judged.sample.id}: {error}") from error
        if not holds:
            values = ", ".join(f"{name}: {_shown(metadata.get(name))}" for name in sorted(condition.columns))
            found[position] = Fault("where", f"where: {config.where} does not hold ({values})")
    return found


def balance(candidates: Sequence[Candidate], config: BalanceFilter) -> Faults:
    """Samples without a class, and those beyond `max_ratio` times the smallest class, chosen by their content.

    Raises:
        DataError: no sample has the column.
    """
    found: Faults = {}
    classes: dict[str, list[int]] = {}
    for position, candidate in enumerate(candidates):
        name = _class(candidate, config.by)
        if name is None:
            found[position] = Fault("balance", f"no class: {config.by} is missing")
        else:
            classes.setdefault(name, []).append(position)
    if candidates and not classes:
        raise DataError(f"data.filters.balance.by: no sample has the column {config.by!r}; {_columns(candidates)}")
    most = math.floor(config.max_ratio * min(map(len, classes.values()), default=0) + 1e-9)
    for name, positions in classes.items():
        for position in sorted(positions, key=lambda at: _lot(candidates[at]))[most:]:
            reason = f"class too frequent: {config.by} {name} has {len(positions)} samples, above {most}"
            found[position] = Fault("balance", reason, float(len(positions)), float(most))
    return found


def _class(candidate: Candidate, by: str) -> str | None:
    metadata = candidate.judged.sample.metadata
    if by == _ANSWER and candidate.is_row and _ANSWER not in metadata:
        return json.dumps(" ".join(candidate.text.split()), ensure_ascii=False)
    value = metadata.get(by)
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


def _lot(candidate: Candidate) -> tuple[str, str]:
    sample = candidate.judged.sample
    asked = getattr(sample, "turns", sample.start_s)
    return hashlib.sha256(f"balance:{sample.content_hash}:{asked}".encode()).hexdigest(), sample.id


def _columns(candidates: Sequence[Candidate]) -> str:
    columns = sorted({name for one in candidates for name in one.judged.sample.metadata})
    columns += [_ANSWER] if any(one.is_row for one in candidates) and _ANSWER not in columns else []
    return f"the columns are {', '.join(columns)}" if columns else "samples have no metadata: give them a column"


def _shown(value: Any) -> str:
    return "missing" if value is None else json.dumps(value, ensure_ascii=False, default=str)[:40]
