"""`posttrain plan`: what a sweep would run, on which data after what was dropped, how large it is, and what suits.

Runs nothing.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from posttrain.cli.progress import ReadingProgress
    from posttrain.config import LoadedSweep


def plan(
    file: Annotated[Path, typer.Argument(help="The sweep file.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="section.key=value, any number of them.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
    runs: Annotated[Path, typer.Option(help="Where run directories are kept.")] = Path("runs"),
) -> None:
    """Show what a sweep would run: trials, data, stages, memory, disk, and which strategy suits. Runs nothing."""
    from rich.console import Console

    from posttrain.cli.progress import ReadingProgress
    from posttrain.cli.sweep_file import open_sweep

    loaded = open_sweep(file, overrides)
    with ReadingProgress() as progress:
        document = _document(loaded, runs, progress)
    if as_json:
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        _show(document, loaded, file, Console(highlight=False, soft_wrap=True))


def _document(loaded: "LoadedSweep", runs: Path, progress: "ReadingProgress") -> dict[str, Any]:
    from posttrain.cli.inspection import inspect
    from posttrain.cli.warnings import warnings_of
    from posttrain.models.sizes import sizes_of
    from posttrain.sweep.forecast import forecast, measured_by
    from posttrain.sweep.history import past_trials
    from posttrain.tracking.environment import hardware

    config = loaded.config
    inspection = inspect(loaded, progress)
    measured = measured_by(past_trials(runs, config, hardware()), config)
    sizes = sizes_of(config, inspection.info)
    document = forecast(config, inspection.dataset, sizes, _slots(config), measured)
    return {**document, "warnings": [str(warning) for warning in warnings_of(loaded, inspection)]}


def _slots(config: Any) -> int:
    """The slots that this machine would hold; a cluster may hold more."""
    import psutil

    from posttrain.sweep.capacity import choose_slots
    from posttrain.sweep.plan import GroupSize
    from posttrain.tracking.environment import count_gpus

    resources, gpus = config.resources, count_gpus()
    each = resources.gpus_per_worker
    size = GroupSize(resources.workers, resources.cpus_per_worker, each if each is not None else float(gpus > 0))
    node = {"CPU": float(psutil.cpu_count() or 1), "GPU": float(gpus), "memory": psutil.virtual_memory().available}
    return choose_slots(resources.slots, size, [node], wanted=config.search.trials)


def _show(document: dict[str, Any], loaded: "LoadedSweep", file: Path, console: "Console") -> None:
    from rich.markup import escape
    from rich.table import Table

    from posttrain.cli.space_table import space_table

    config = loaded.config
    console.print(
        f"{config.name}: {document['trials']} trials of {config.training.steps} steps, "
        f"{document['slots']} at once on this machine; {config.strategy.type} on {config.model.checkpoint}"
    )
    sources = Table("source", "found", "kept", "dropped", box=None, pad_edge=False)
    for name, counts in document["samples"].items():
        dropped = ", ".join(f"{number} {kind}" for kind, number in counts["dropped"].items())
        sources.add_row(name, str(counts["found"]), str(counts["kept"]), dropped or "none")
    console.print(sources)
    stages = Table("stage", "steps", "samples drawn by source", "asks for", box=None, pad_edge=False)
    for stage in document["stages"]:
        stages.add_row(stage["name"], str(stage["steps"]), escape(_drawn(stage)), escape(_asked(stage)))
    console.print(stages)
    console.print(space_table(loaded))
    if document["metadata"]:
        columns = Table("metadata", "samples with it", "values", box=None, pad_edge=False)
        for name, facts in document["metadata"].items():
            columns.add_row(escape(name), f"{facts['share']:.0%}", escape(_values(facts)))
        console.print(columns)
    for line in _estimates(document["estimate"], file):
        console.print(line, markup=False)
    for warning in document["warnings"]:
        console.print(f"warning: {warning}", markup=False)
    for sentence in document["advice"]:
        console.print(f"advice: {sentence}", markup=False)


def _drawn(stage: dict[str, Any]) -> str:
    """Draws by source, with how often each sample of it is drawn."""
    epochs = stage["epochs"]
    return ", ".join(
        f"{name} {number}" + (f" ({epochs[name]:.3g} epochs of {stage['eligible'][name]})" if name in epochs else "")
        for name, number in stage["counts"].items()
    )


def _asked(stage: dict[str, Any]) -> str:
    """What a stage says besides its length."""
    said = [] if stage["where"] is None else [stage["where"]]
    if stage["min_quality"] is not None:
        said.append(f"quality >= {stage['min_quality']:g}")
    if stage["by"] is not None:
        groups = ", ".join(f"{name} {number}" for name, number in stage["groups"].items())
        said.append(f"by {stage['by']}: {groups}")
    if stage["learning_rate_factor"] != 1:
        said.append(f"learning rate x {stage['learning_rate_factor']:g}")
    return "; ".join(said)


def _values(facts: dict[str, Any]) -> str:
    if "range" in facts:
        low, high = facts["range"]
        return f"{low:g}" if low == high else f"{low:g} to {high:g}"
    listed = ", ".join(f"{value} {number}" for value, number in facts["values"].items())
    more = facts["distinct"] - len(facts["values"])
    return f"{listed} and {more} more" if more > 0 else listed or "lists"


def _estimates(estimate: dict[str, Any], file: Path) -> list[str]:
    from posttrain.cache.account import size_text

    source = estimate["source"] or {}
    disk = estimate["disk_bytes"]
    return [
        f"time: {_time(estimate, source.get('seconds'), file)}",
        f"memory: {_memory(estimate['peak_memory_bytes'], source.get('peak_memory_bytes'))}",
        "disk: " + (_UNREAD if disk is None else f"at most {size_text(disk)} of checkpoints"),
    ]


_UNREAD = "unknown until the checkpoint is on this machine"


def _time(estimate: dict[str, Any], source: dict[str, Any] | None, file: Path) -> str:
    from posttrain.reports.numbers import duration

    if source is None:
        return (
            f"unknown until a trial of this model has run here; `posttrain train {file} training.steps=20` measures it"
        )
    hours = estimate["gpu_hours"]
    gpu_hours = f", {hours:.2f} GPU-hours" if hours else ""
    return (
        f"at most about {duration(estimate['seconds'])}{gpu_hours} and the start, if no trial is stopped early; "
        f"from {_trials_of(source)}"
    )


def _memory(peak_bytes: int | None, source: dict[str, Any] | None) -> str:
    from posttrain.cache.account import size_text

    if peak_bytes is None:
        return _UNREAD
    if source is not None:
        return f"{size_text(peak_bytes)} a worker at its peak, all included; from {_trials_of(source)}"
    return (
        f"at least {size_text(peak_bytes)} a worker: weights, gradients and optimizer; activations, and on a CPU the "
        "libraries (about 0.8 GB), come on top"
    )


def _trials_of(source: dict[str, Any]) -> str:
    """`9 trials in runs/quickstart on this machine`."""
    number, runs = source["trials"], source["runs"]
    more = f" and {len(runs) - 2} more runs" if len(runs) > 2 else ""
    return f"{number} trial{'s' if number > 1 else ''} in {', '.join(runs[:2])}{more} on this machine"
