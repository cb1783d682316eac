"""`posttrain export`: what a trial learned, in the formats that plain diffusers, transformers and peft load."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from posttrain.cache.account import size_text
from posttrain.cli.plain_loading import loading_problems
from posttrain.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from posttrain.reports.card import Source
    from posttrain.reports.export import Chosen


class Components(StrEnum):
    """Which parts of a pipeline are written."""

    ALL = "all"
    TRAINED = "trained"


def export(
    run: Annotated[Path, typer.Argument(help="A run directory, runs/<name>.")],
    out: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    trial: Annotated[str, typer.Option(help="A trial's id, or `best` for the best one in the metric.")] = "best",
    metric: Annotated[
        str | None, typer.Option(help="The metric that decides on trial and step; else the sweep's objective.")
    ] = None,
    merged: Annotated[
        bool, typer.Option("--merged", help="Fuse a LoRA into its base, and write the whole pipeline.")
    ] = False,
    components: Annotated[
        Components | None,
        typer.Option(
            help="`all`: a pipeline that `from_pretrained(OUT)` loads, the default with --merged; `trained`: only the "
            "networks that were trained."
        ),
    ] = None,
    link: Annotated[
        bool,
        typer.Option(
            "--link",
            help="Hard links instead of copies of what was not trained: no space on the base's own disk, but whoever "
            "writes into such a file changes the base too.",
        ),
    ] = False,
    base: Annotated[
        str | None,
        typer.Option(help="The base checkpoint, where the path in the sweep file does not lead to it from here."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export in OUT.")] = False,
) -> None:
    """Write the best step of a trial, with a README that shows how to load it."""
    chosen = write_export(
        run, out, trial=trial, metric=metric, merged=merged, components=components, link=link, base=base, force=force
    )
    typer.echo(str(chosen))
    if chosen.winner is not None and trial == "best":
        typer.echo(f"by the sweep's objective the best is {chosen.winner}")
    typer.echo(f"-> {out}; {out / 'README.md'} shows how to load it")
    for problem in loading_problems("transformers" if chosen.is_chat_model else "diffusers"):
        typer.echo(f"warning: {problem.message}; {problem.remedy}", err=True)


def write_export(
    run: Path,
    out: Path,
    *,
    trial: str = "best",
    metric: str | None = None,
    merged: bool = False,
    components: Components | None = None,
    link: bool = False,
    base: str | None = None,
    force: bool = False,
) -> "Chosen":
    """Writes the export; the arguments are those of the command.

    Raises:
        ConfigError: nothing fits the arguments, or `out` may not be written.
        NoAnswer: no trial has finished.
        EnvironmentFault: the disk is full or not writable; what was in `out` is untouched.
    """
    from posttrain.paths import RunPaths
    from posttrain.reports.export import choose, write_card, writing

    chosen = choose(RunPaths(run), trial, metric)
    whole = _is_whole(chosen, merged, components)
    checkpoint = base or chosen.base
    source = _source(checkpoint, chosen)
    with writing(out, force=force) as folder:
        _write(chosen, checkpoint, folder, merged=merged, whole=whole, link=link)
        write_card(chosen, source, folder, out.resolve().name)
    return chosen


def _is_whole(chosen: "Chosen", merged: bool, components: Components | None) -> bool:
    """Whether the parts that were not trained are written too."""
    if merged and not chosen.is_adapter:
        message = f"{chosen.trial} trained whole weights, so there is no adapter to merge"
        hint = "leave it out: what is written is whole"
        if not chosen.is_chat_model:
            hint = "for a whole pipeline give --components all"
        raise ConfigError.single(where="--merged", message=message, hint=hint)
    if components is Components.ALL and chosen.is_adapter and not merged:
        message = "an adapter is no part of a pipeline"
        raise ConfigError.single(where="--components", message=message, hint="give --merged to fuse it into its base")
    return not chosen.is_chat_model and (components or (Components.ALL if merged else None)) is Components.ALL


def _write(chosen: "Chosen", checkpoint: str, folder: Path, *, merged: bool, whole: bool, link: bool) -> None:
    """Writes the networks, then what else makes a pipeline."""
    from posttrain.reports.export import copy_trained

    base = _base_folder(checkpoint, chosen.control) if merged or whole else None
    if merged:
        from posttrain.strategies.merge import merge_adapter

        assert base is not None
        merge_adapter(base, chosen.folder, folder)
    else:
        copy_trained(chosen, folder)
        if chosen.is_adapter:
            from posttrain.strategies.adapters import add_peft_files

            add_peft_files(folder)
    if whole:
        from posttrain.models.components import complete_pipeline

        assert base is not None
        num_bytes = complete_pipeline(base, folder, link=link)
        if num_bytes:
            typer.echo(f"copied {size_text(num_bytes)} of the base's other parts")


def _base_folder(checkpoint: str, control: str) -> Path:
    from posttrain.models import checkpoint_folder
    from posttrain.models.hub import with_published_controlnet

    folder = checkpoint_folder(checkpoint, on_note=typer.echo)
    return with_published_controlnet(folder, checkpoint, control, typer.echo)


def _source(checkpoint: str, chosen: "Chosen") -> "Source":
    """The base as the plain libraries know it; a local one is called by its folder's name.

    Raises:
        ConfigError: there is no such checkpoint.
    """
    from posttrain.models.catalog import describe, pipeline_of
    from posttrain.models.hub import controlnet_revision
    from posttrain.reports.card import Source

    if chosen.is_chat_model:  # whole by itself: its base need not be here
        folder = Path(checkpoint).expanduser()
        is_path = folder.is_dir() or folder.is_absolute()
        return Source(
            **_known(checkpoint, folder if is_path else None), pipeline=None, family="vlm", strategy=chosen.strategy
        )
    try:
        described = describe(checkpoint)
    except ModelError as error:
        raise ConfigError.single("model.checkpoint", error.message, "name the base's folder with --base") from error
    return Source(
        **_known(checkpoint, described.path),
        pipeline=pipeline_of(described.generation),
        controlnet_revision=controlnet_revision(checkpoint, chosen.control),
        family=described.generation.family,
        strategy=chosen.strategy,
    )


def _known(checkpoint: str, folder: Path | None) -> dict[str, Any]:
    """Name, revision, origin and licence of a built-in base, a local folder or a hub id."""
    from posttrain.models.hub import cached, split_revision
    from posttrain.models.model_card import license_of

    if checkpoint.startswith("tiny:"):
        name = checkpoint.replace(":", "-")
        origin = f"`posttrain tiny {checkpoint.removeprefix('tiny:')} {name}` writes it"
        return {"name": name, "origin": origin, "license": {"license": "apache-2.0"}}  # they come with posttrain
    if folder is not None:
        return {
            "name": folder.resolve().name,
            "origin": "the folder of the base checkpoint",
            "license": license_of(folder),
        }
    name, revision = split_revision(checkpoint)
    readme = cached(checkpoint, "README.md") or cached(name, "README.md")
    return {"name": name, "revision": revision, "license": license_of(readme.parent) if readme else {}}
