"""What to say where the filters leave nothing of a source."""

from collections import Counter
from collections.abc import Sequence

from posttrain.config import FilterConfig
from posttrain.data.curation import Judged
from posttrain.data.filters.limits import thresholds
from posttrain.data.sample import Kept
from posttrain.data.sources import SourceScan
from posttrain.errors import DataError


def check_something_left(scan: SourceScan[Kept], filters: Sequence[FilterConfig]) -> None:
    """Refuses a source of which every sample is dropped.

    Raises:
        DataError: with the reasons, how often each, an example of each, and what to loosen.
    """
    if scan.kept:
        return
    by_kind: dict[str, list[Judged[Kept]]] = {}
    for entry in scan.judged:
        by_kind.setdefault(entry.faults[0].kind, []).append(entry)
    told = "; ".join(
        f"{len(entries)} {kind} ({entries[0].sample.id}: {entries[0].faults[0].reason})"
        for kind, entries in sorted(by_kind.items(), key=lambda item: -len(item[1]))
    )
    objecting = Counter(entry.faults[0].filter for entry in scan.judged)
    limits = {
        name: ", ".join(f"{limit.side} {limit.value:g}" for limit in thresholds(filters) if limit.filter == name)
        for name, _ in objecting.most_common()
    }
    loosen = " and ".join(f"data.filters.{name}{f' ({text})' if text else ''}" for name, text in limits.items())
    unread = len(scan.dropped) - len(scan.judged)
    besides = f", besides {unread} that cannot be read" if unread else ""
    raise DataError(
        f"data.sources.{scan.name}: the filters leave none of its {len(scan.judged)} samples{besides}: {told}; loosen "
        f"{loosen}, or look at what they measure with `posttrain data`"
    )
