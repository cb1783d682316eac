"""What `posttrain train` ends with: the base against what was trained, and where that lies."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich import box
from rich.table import Table

from posttrain.paths import RunPaths
from posttrain.reports import numbers
from posttrain.tracking.columns import BASELINE_ID
from posttrain.tracking.results import read_result
from posttrain.tracking.tensorboard import tensorboard_command


def outcome_table(run: RunPaths, result: Mapping[str, Any]) -> Table:
    """One row a metric: the base model's value, the best one and the last one with their steps."""
    baseline = (read_result(run.trial(BASELINE_ID)) or {}).get("metrics", {})
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("metric", no_wrap=True)
    for heading in ("base", "best (step)", "vs base", "last (step)"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, value in result["metrics"].items():
        base = baseline.get(name, {}).get("best")
        delta = None if base is None else value["best"] - base
        colour = "" if not delta else ("green" if numbers.is_better(delta, value["mode"]) else "red")
        table.add_row(
            f"{name} {numbers.ARROWS[value['mode']]}",
            numbers.significant(base),
            f"{numbers.significant(value['best'])} ({value['best_step']})",
            f"[{colour}]{numbers.difference(delta, base)}[/]" if colour else numbers.difference(delta, base),
            f"{numbers.significant(value['last'])} ({value['last_step']})",
        )
    return table


def outcome_lines(run: RunPaths, result: Mapping[str, Any]) -> Iterator[str]:
    """Where the checkpoints lie, and the commands that use them."""
    objective, folder = result["objective"], run.trial(result["id"]).checkpoints
    if objective is not None:
        best = folder / f"step-{objective['step']:06d}"
        yield f"best {objective['metric']} at step {objective['step']} of {result['steps']}: {best}"
        yield f"export it: posttrain export {run.root} OUT"
    yield f"see the curves: {tensorboard_command(run.root)}"
