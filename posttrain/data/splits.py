"""The sample lists of a run, read back from its manifest: what every worker trains and measures on."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

from posttrain.data.rows import Row
from posttrain.data.sample import ControlFile, Kept, Sample
from posttrain.paths import RunPaths

Placed = tuple[int, Any]


@dataclass(frozen=True)
class Splits(Generic[Kept]):
    """Training samples by source and the samples of each suite, in the order that the curation gave them."""

    train: dict[str, list[Kept]]
    suites: dict[str, list[Kept]]


def read_splits(run: RunPaths) -> Splits[Any]:
    """Reads `data/manifest.jsonl`; the lists equal those of the `Dataset` it was written from."""
    train: dict[str, list[Placed]] = {}
    suites: dict[str, list[Placed]] = {}
    with run.manifest_jsonl.open(encoding="utf-8") as lines:
        for record in map(json.loads, lines):
            if record["position"] is None:
                continue
            trained = record["split"] == "train"
            place = train.setdefault(record["source"], []) if trained else suites.setdefault(record["split"], [])
            place.append((record["position"], _sample(record)))
    return Splits(_ordered(train.items()), _ordered(suites.items()))


def _ordered(lists: Iterable[tuple[str, list[Placed]]]) -> dict[str, list[Any]]:
    return {name: [sample for _, sample in sorted(placed, key=lambda pair: pair[0])] for name, placed in lists}


def _sample(record: dict[str, Any]) -> Sample | Row:
    if "turns" in record:
        return Row.from_record(record)
    return Sample(
        id=record["id"],
        source=record["source"],
        video=Path(record["video"]),
        start_s=record["start_s"],
        caption=record["caption"],
        metadata=record["metadata"],
        content_hash=record["content_hash"],
        controls={
            name: ControlFile(Path(control["video"]), control["content_hash"])
            for name, control in record.get("controls", {}).items()
        },
        paraphrases=tuple(record.get("paraphrases", ())),
        longest_pace=record.get("longest_pace", 1.0),
    )
