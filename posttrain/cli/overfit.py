"""`posttrain overfit`: the gate alone, in this process, without Ray."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from posttrain.errors import ConfigError, NoAnswer

if TYPE_CHECKING:
    from rich.console import Console

    from posttrain.config import TrialConfig
    from posttrain.overfit.verdict import Check, Verdict


def overfit(
    file: Annotated[Path, typer.Argument(help="The sweep file.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="section.key=value, any number of them.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Prove on a few samples that the file's own configuration can learn at all."""
    from posttrain.cli.progress import open_console
    from posttrain.cli.sweep_file import open_sweep
    from posttrain.config import trial_config

    loaded = open_sweep(file, overrides)
    if loaded.config.overfit is None:
        raise ConfigError.single(
            where="overfit", message="the gate is off in this file", hint="delete `overfit: off`", file=str(file)
        )
    console = open_console(stderr=as_json)
    verdict = _run(trial_config(loaded.config), file.parent, console)
    if as_json:
        typer.echo(json.dumps(verdict.to_dict(), indent=2))
    else:
        _show(verdict, console)
    if not verdict.passed:
        raise NoAnswer(f"{loaded.config.name} did not pass the gate: {verdict.reason}")


def _run(config: "TrialConfig", base_dir: Path, console: "Console") -> "Verdict":
    from posttrain.cli.progress import TickingLine

    with TickingLine(console) as show:
        show("importing the training libraries")
        import torch

        from posttrain.data import Splits, prepare
        from posttrain.models.reading import reading_of
        from posttrain.overfit.gate import few_samples, gate
        from posttrain.training.workbench import open_workbench

        if not torch.cuda.is_available():
            torch.set_num_threads(1)
        show("reading the data")
        spec = reading_of(config, base_dir)[1]
        dataset = prepare(config, spec, base_dir, lambda name, done, total: show("reading the data", done, total))
        bench = open_workbench(config, Splits(dataset.train, dataset.suites), base_dir, show)
        show("encoding the samples of the gate")
        bench.encode(few_samples(config, bench), lambda *_: None, lambda: False)
        what = "training on a few samples"
        show(what)
        return gate(config, bench, on_step=lambda step, steps: show(what, step, steps, "step"))


def _needed(check: "Check") -> str:
    """`at most 0.35`, and after a semicolon of the note what the value is."""
    bound, _, meaning = check.note.partition(";")
    if check.value is not None and check.threshold is not None:
        bound = f"{bound} {check.threshold:.3g}"
    return f"{bound} ({meaning.strip()})" if meaning else bound


def _show(verdict: "Verdict", console: "Console") -> None:
    from rich.table import Table

    table = Table("check", "passed", "value", "needed", box=None, pad_edge=False)
    for check in verdict.checks:
        needed = _needed(check)
        value = "" if check.value is None else f"{check.value:.3g}"
        table.add_row(check.name, "[green]yes[/]" if check.passed else "[red]no[/]", value, needed)
    console.print(table)
    outcome = "passed" if verdict.passed else "did not pass"
    console.print(f"{outcome} after {verdict.steps} steps in {verdict.seconds:.1f} s")
