"""Checkpoints from the hub: `owner/name` or `owner/name@revision`; only safetensors and configuration, never a pickle.

Some publishers keep the layout of diffusers on a branch of its own: `PUBLISHED` knows where, so the plain id works.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from posttrain.data.hub import quiet, unreached
from posttrain.errors import EnvironmentFault, ModelError
from posttrain.paths import cache_dir, write_json_atomic

_INDEX = "model_index.json"
_PATTERNS = ["*.json", "*.txt", "*.jinja", "*.model", "*.safetensors", "README.md", "LICENSE*", "NOTICE*"]
# Hub id -> the revision that holds its weights in the layout of diffusers, from the examples in diffusers' pipelines.
PUBLISHED: dict[str, str] = {
    "nvidia/Cosmos-Predict2.5-2B": "diffusers/base/post-trained",
    "nvidia/Cosmos-Predict2.5-14B": "diffusers/base/post-trained",
    "nvidia/Cosmos-Transfer2.5-2B": "diffusers/general",
}
# Hub id -> where the ControlNet of one control lies; the revision above holds everything else.
CONTROLNETS: dict[str, str] = {"nvidia/Cosmos-Transfer2.5-2B": "diffusers/controlnet/general/{control}"}


def split_revision(checkpoint: str) -> tuple[str, str | None]:
    """The repository's id and the revision to read: the one written after `@`, else the published one, else None."""
    repo_id, _, revision = checkpoint.partition("@")
    return repo_id, revision or PUBLISHED.get(repo_id)


def cached(checkpoint: str, name: str) -> Path | None:
    """A file of a hub repository in the local hub cache; None where it is not there, or the id is none."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    repo_id, revision = split_revision(checkpoint)
    try:
        found = try_to_load_from_cache(repo_id, name, revision=revision)
    except HFValidationError:
        return None
    return Path(found) if isinstance(found, str) else None


def download(checkpoint: str, on_note: Callable[[str], None] | None = None) -> Path:
    """The local snapshot of a hub repository, downloaded when the local hub cache lacks it.

    Raises:
        ModelError: there is no such repository or revision, or it needs an accepted licence and a token.
        EnvironmentFault: the hub cannot be reached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    repo_id, revision = split_revision(checkpoint)
    named = repo_id if revision is None else f"{repo_id}@{revision}"
    if on_note:
        on_note(f"fetching {named}")
    try:
        with quiet():
            return Path(snapshot_download(repo_id, revision=revision, allow_patterns=_PATTERNS))
    except GatedRepoError as error:
        raise ModelError(
            f"model.checkpoint: {repo_id} is gated; accept its licence on its hub page and log in with `hf auth login`"
        ) from error
    except RevisionNotFoundError as error:
        raise ModelError(f"model.checkpoint: {repo_id} has no revision {revision!r} that you may read") from error
    except RepositoryNotFoundError as error:
        raise ModelError(f"model.checkpoint: the hub has no repository {repo_id} that you may read") from error
    except (LocalEntryNotFoundError, OSError) as error:
        raise EnvironmentFault(
            f"model.checkpoint: {named} is not in the local hub cache, and {unreached(repo_id, error)}"
        ) from error


def controlnet_revision(checkpoint: str, control: str) -> str | None:
    """The revision of the ControlNet that reads `control`, where a published pipeline has it outside its own."""
    pattern = CONTROLNETS.get(split_revision(checkpoint)[0])
    return None if pattern is None else pattern.format(control=control)


def with_published_controlnet(
    folder: Path, checkpoint: str, control: str, on_note: Callable[[str], None] | None = None
) -> Path:
    """A snapshot that has no ControlNet joined with the published one of `control`; any other folder as it is.

    Raises:
        ModelError, EnvironmentFault: see `download`.
    """
    repo_id, revision = split_revision(checkpoint)[0], controlnet_revision(checkpoint, control)
    if revision is None or (folder / "controlnet").is_dir():
        return folder
    return join_controlnet(folder, download(f"{repo_id}@{revision}", on_note))


def join_controlnet(pipeline: Path, controlnet: Path) -> Path:
    """One checkpoint folder of links to the parts of `pipeline` and to the ControlNet in `controlnet`."""
    name = hashlib.sha256(f"{pipeline.resolve()}:{controlnet.resolve()}".encode()).hexdigest()[:16]
    joined = cache_dir() / "joined" / name
    joined.mkdir(parents=True, exist_ok=True)
    parts = {part.name: part for part in pipeline.iterdir() if part.name != _INDEX}
    for part, source in {**parts, "controlnet": controlnet}.items():
        link = joined / part
        if not link.is_symlink():
            link.symlink_to(source.resolve())
    index = json.loads((pipeline / _INDEX).read_text(encoding="utf-8"))
    write_json_atomic(joined / _INDEX, {**index, "controlnet": ["diffusers", "CosmosControlNetModel"]})
    return joined
