"""What a newcomer waits for, against another checkout: `check`, `plan` and the sweep of the quickstart.

    python benchmarks/first_hour.py OTHER_CHECKOUT [--commands 5] [--sweeps 2]

Both checkouts run in this Python environment, in turns, so what else the machine does meets both alike. A command is
measured with everything cached, the sweep from an empty cache: checkpoint and clips are made or unpacked first.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]


def measure(checkout: Path, arguments: list[str], cache: Path) -> tuple[float, float]:
    """Wall and CPU seconds of one command of a checkout, in a folder of its own."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "POSTTRAIN_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", "import sys; from posttrain.cli import main; sys.exit(main())", *arguments]
    with tempfile.TemporaryDirectory() as folder:
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
        wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def in_turns(checkouts: list[Path], command: str, times: int, *, is_cold: bool) -> list[list[tuple[float, float]]]:
    """The measurements of each checkout."""
    found: list[list[tuple[float, float]]] = [[] for _ in checkouts]
    with tempfile.TemporaryDirectory() as caches:
        for turn in range(times if is_cold else times + 1):
            for index, checkout in enumerate(checkouts):
                cache = Path(caches, f"{index}-{turn}" if is_cold else str(index))
                measured = measure(checkout, [command, str(checkout / "sweeps/quickstart.yaml")], cache)
                if is_cold or turn:  # the first turn fills the cache
                    found[index].append(measured)
    return found


def line(command: str, other: list[tuple[float, float]], this: list[tuple[float, float]], kinds: int = 2) -> str:
    """A row of the table: medians of the wall seconds and of the CPU seconds, and their ratios."""
    cells = []
    for kind in range(kinds):
        before, now = (statistics.median(each[kind] for each in measured) for measured in (other, this))
        cells.append(f"{before:.1f} | {now:.1f} | {now / before:.2f} x")
    return f"| {command} | {len(this)} | {' | '.join(cells)} |{' | | |' * (2 - kinds)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path)
    parser.add_argument("--commands", type=int, default=5)
    parser.add_argument("--sweeps", type=int, default=2)
    options = parser.parse_args()
    checkouts = [options.other.resolve(), HERE]
    print("| command | times | wall s, other | this | ratio | CPU s, other | this | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    for command, times, is_cold in (("check", options.commands, False), ("plan", options.commands, False)):
        print(line(command, *in_turns(checkouts, command, times, is_cold=is_cold)), flush=True)
    if options.sweeps:
        # Ray's processes are no children of the command: their CPU seconds are not counted
        print(line("sweep, cold", *in_turns(checkouts, "sweep", options.sweeps, is_cold=True), kinds=1), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
