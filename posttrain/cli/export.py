"""`posttrain export`: what a trial learned, in the formats that plain diffusers, transformers and peft load."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from posttrain.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from posttrain.reports.card import Source


def export(
    run: Annotated[Path, typer.Argument(help="A run directory, runs/<name>.")],
    out: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    trial: Annotated[str, typer.Option(help="A trial's id, or `best`.")] = "best",
    metric: Annotated[
        str | None, typer.Option(help="Take the checkpoint that is best in this metric; else in the objective.")
    ] = None,
    merged: Annotated[bool, typer.Option("--merged", help="Fuse a LoRA into a copy of its base's network.")] = False,
    base: Annotated[
        str | None,
        typer.Option(help="The base checkpoint, where the path in the sweep file does not lead to it from here."),
    ] = None,
) -> None:
    """Write what a trial learned at its best step, with a README that shows how to load it."""
    from posttrain.paths import RunPaths
    from posttrain.reports.export import check_free, choose, copy_trained, write_card

    chosen = choose(RunPaths(run), trial, metric)
    if merged and not chosen.is_adapter:
        message = f"{chosen.trial} trained whole weights, so there is no adapter to merge"
        raise ConfigError.single(where="--merged", message=message, hint="leave it out: what is written is whole")
    checkpoint = base or chosen.base
    source = None if chosen.is_chat_model else _source(checkpoint, chosen.control)
    check_free(out)
    if merged:
        from posttrain.models import checkpoint_folder
        from posttrain.models.hub import with_published_controlnet
        from posttrain.strategies.merge import merge_adapter

        folder = checkpoint_folder(checkpoint, on_note=typer.echo)
        merge_adapter(with_published_controlnet(folder, checkpoint, chosen.control, typer.echo), chosen.folder, out)
    else:
        copy_trained(chosen, out)
    write_card(chosen, source, out)
    typer.echo(
        f"{chosen.trial} at step {chosen.step} ({chosen.metric} {chosen.value:.4g}) -> {out}; "
        f"{out / 'README.md'} shows how to load it"
    )


def _source(checkpoint: str, control: str) -> "Source":
    """A diffusion base as the plain libraries are told of it; a built-in one by its folder in the cache.

    Raises:
        ConfigError: there is no such checkpoint.
    """
    from posttrain.models import checkpoint_folder
    from posttrain.models.catalog import describe, pipeline_of
    from posttrain.models.hub import controlnet_revision, split_revision
    from posttrain.reports.card import Source

    try:
        info = describe(checkpoint)
        if info.path is not None or checkpoint.startswith("tiny:"):
            name, revision = str(checkpoint_folder(checkpoint, on_note=typer.echo)), None
        else:
            name, revision = split_revision(checkpoint)
    except ModelError as error:
        raise ConfigError.single("model.checkpoint", error.message, "name the base's folder with --base") from error
    return Source(name, revision, pipeline_of(info.generation), controlnet_revision(checkpoint, control))
