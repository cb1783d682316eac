"""A process that scans sources, and decodes its share of their clips, as a worker does.

Usage: read_source.py RANK WORKERS PATH [PATH ...]. Prints a line of JSON for each scan: what it found, or the error
with its exit code. Source number n has the cache n in the folder POSTTRAIN_CACHE, or that folder where it is alone.
"""

import json
import os
import sys
from pathlib import Path

from posttrain.config import SourceConfig
from posttrain.data import ClipSpec, decode, scan
from posttrain.errors import PosttrainError


def main(path: str, rank: int, num_workers: int) -> None:
    spec = ClipSpec(frames=9, height=32, width=32, fps=8.0)
    try:
        result = scan("ego", SourceConfig(path=path), spec, Path("/nowhere"))
        for sample in result.kept[rank::num_workers]:
            decode(sample.video, spec)
    except PosttrainError as error:
        print(json.dumps({"error": str(error), "exit_code": error.exit_code}))
        return
    kept = [[sample.id, sample.caption, sample.content_hash, str(sample.video)] for sample in result.kept]
    dropped = {entry.id: entry.reason for entry in result.dropped}
    print(json.dumps({"kept": kept, "dropped": dropped, "ignored": result.ignored}))


if __name__ == "__main__":
    caches, paths = Path(os.environ["POSTTRAIN_CACHE"]), sys.argv[3:]
    for number, path in enumerate(paths):
        os.environ["POSTTRAIN_CACHE"] = str(caches / str(number) if len(paths) > 1 else caches)
        main(path, int(sys.argv[1]), int(sys.argv[2]))
