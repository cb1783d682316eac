"""Checkpoints from the hub: only safetensors and configuration, never a pickle."""

from collections.abc import Callable
from pathlib import Path

from posttrain.errors import EnvironmentFault, ModelError

_PATTERNS = ["*.json", "*.txt", "*.jinja", "*.model", "*.safetensors"]


def download(repo_id: str, on_note: Callable[[str], None] | None = None) -> Path:
    """The local snapshot of a hub repository, downloaded when the local hub cache lacks it.

    Raises:
        ModelError: there is no such repository, or it needs an accepted licence and a token.
        EnvironmentFault: the hub cannot be reached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

    if on_note:
        on_note(f"fetching {repo_id}")
    try:
        return Path(snapshot_download(repo_id, allow_patterns=_PATTERNS))
    except GatedRepoError as error:
        raise ModelError(
            f"model.checkpoint: {repo_id} is gated; accept its licence on its hub page and log in with `hf auth login`"
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelError(f"model.checkpoint: the hub has no repository {repo_id} that you may read") from error
    except (LocalEntryNotFoundError, OSError) as error:
        raise EnvironmentFault(
            f"model.checkpoint: {repo_id} is not in the local hub cache and the hub cannot be reached ({error}); "
            "download it where there is a network and give its folder"
        ) from error
