"""Data sets on the hub: whether there is one, asked once and within seconds; and its rows."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from posttrain.errors import DataError, EnvironmentFault

_TIMEOUT_S = 10.0
# Their warnings repeat each failed request, with its address, once per attempt.
_CHATTY = ("huggingface_hub", "datasets", "httpx", "httpcore", "fsspec")


def look_up(repo_id: str, revision: str | None, place: str) -> None:
    """Returns if the hub has the data set.

    Args:
        place: the configuration path, and what is not on the disk; errors begin with it.

    Raises:
        DataError: the hub has no such data set, or it may not be read.
        EnvironmentFault: the hub cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        with quiet():
            HfApi().dataset_info(repo_id, revision=revision, timeout=_TIMEOUT_S)
    except GatedRepoError as error:
        raise DataError(
            f"{place}, and the data set {repo_id} is gated; accept its terms on its hub page and log in with "
            "`hf auth login`"
        ) from error
    except RevisionNotFoundError as error:
        raise DataError(f"{place}, and the data set {repo_id} of the hub has no revision {revision}") from error
    except RepositoryNotFoundError as error:
        raise DataError(f"{place}, and the hub has no data set {repo_id} that you may read") from error
    except Exception as error:  # whatever the network's libraries raise
        raise EnvironmentFault(f"{place}, and {unreached(repo_id, error, '--repo-type dataset ')}") from error


def load_rows(repo_id: str, revision: str | None, split: str | None, place: str) -> Any:
    """The data set as `datasets` holds it; from the local cache where the hub cannot be reached.

    Raises:
        DataError, EnvironmentFault: see `look_up`; or `datasets` cannot read it.
    """
    from datasets import load_dataset
    from datasets.exceptions import DatasetNotFoundError

    fault: EnvironmentFault | None = None
    try:
        look_up(repo_id, revision, place)
    except EnvironmentFault as error:
        fault = error
    try:
        with quiet(), _offline(fault is not None):
            return load_dataset(repo_id, split=split, revision=revision)
    except (DatasetNotFoundError, OSError) as error:
        if fault is not None:
            raise fault from error
        raise EnvironmentFault(f"{place}, and {unreached(repo_id, error, '--repo-type dataset ')}") from error
    except ValueError as error:
        raise DataError(f"{place}; as a data set of the hub, {repo_id}: {error}") from error


def unreached(repo_id: str, error: Exception, kind: str = "") -> str:
    """Half a sentence on a hub that does not answer: the cause, and what to do."""
    from huggingface_hub import constants

    reason = str(error).splitlines()[0] if str(error) else ""
    cause = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else f"{type(error).__name__}: {reason}"
    return (
        f"the hub cannot be reached for {repo_id} ({cause}); correct the path if a folder or file is meant, or run "
        f"`hf download {kind}{repo_id} --local-dir FOLDER` where there is a network and give that folder"
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps the libraries' lines about single requests off the screen."""
    loggers = [logging.getLogger(name) for name in _CHATTY]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _offline(wanted: bool) -> Iterator[None]:
    """Lets `datasets` look into its cache alone: it would try a host that is down for half a minute."""
    import datasets
    from huggingface_hub import constants

    before = datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE
    if wanted:
        datasets.config.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE = before
