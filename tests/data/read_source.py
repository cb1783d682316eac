"""A process that scans a source, and decodes its share of the clips, as a worker does.

Usage: read_source.py PATH RANK WORKERS. Prints the scan as JSON, or the error with its exit code.
"""

import json
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
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
