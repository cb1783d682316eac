"""Makes the picture of the README: the final table of a run, as a terminal shows it.

python docs/table_picture.py runs/quickstart docs/quickstart.svg
"""

import io
import sys
from pathlib import Path

from rich.console import Console

from posttrain.paths import RunPaths
from posttrain.reports.status import print_view
from posttrain.reports.trials import read_sweep

WIDTH = 120


def main(run: Path, out: Path) -> None:
    console = Console(record=True, width=WIDTH, force_terminal=True, file=io.StringIO())
    print_view(read_sweep(RunPaths(run)), console)
    out.write_text(console.export_svg(title="posttrain sweep sweeps/quickstart.yaml"), encoding="utf-8")


main(Path(sys.argv[1]), Path(sys.argv[2]))
