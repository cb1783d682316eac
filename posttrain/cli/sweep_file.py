"""Reading a sweep file on the command line: the checkpoint tells what the file leaves to it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posttrain.errors import ConfigError, Issue

if TYPE_CHECKING:
    from posttrain.config import LoadedSweep
    from posttrain.config.tree import Tree


def open_sweep(file: Path, overrides: Sequence[str] | None) -> "LoadedSweep":
    """The sweep file with its overrides.

    Raises:
        ConfigError: with all that is wrong in it; paths in it that lead nowhere are among them.
    """
    from posttrain.config import load_sweep

    with missing_paths_too(file, overrides or []):
        return load_sweep(file, overrides or [], family_of)


@contextmanager
def missing_paths_too(file: Path, overrides: Sequence[str]) -> Iterator[None]:
    """Adds the paths that lead nowhere to the mistakes that loading the file reports."""
    try:
        yield
    except ConfigError as error:
        known = {issue.where for issue in error.issues}
        found = [issue for issue in _path_issues(file, overrides) if issue.where not in known]
        if not found:
            raise
        issues = sorted([*error.issues, *found], key=lambda issue: (issue.file != str(file), issue.line or 0))
        raise ConfigError(issues) from error


def family_of(checkpoint: str, base_dir: Path) -> str | None:
    """The family that a checkpoint's own files tell, if they do."""
    from posttrain.models import reading

    return reading.family_of(checkpoint, base_dir)


def _path_issues(file: Path, overrides: Sequence[str]) -> Iterator[Issue]:
    """Checkpoint and sources that are not on the disk, of a file that is wrong elsewhere."""
    from posttrain.config.tree import read_layers

    try:
        tree = read_layers(file, overrides)
    except ConfigError:  # reported already
        return
    from posttrain.data.places import missing  # only now: they load what `check` of a missing file must not
    from posttrain.models.reading import checkpoint_fault

    for path, value in _paths_in(tree):
        fault = (checkpoint_fault if path[0] == "model" else missing)(value, file.parent)
        if fault is not None:
            origin = tree.origin(path)
            yield Issue(".".join(path), fault, origin.file, origin.line)


def _paths_in(tree: "Tree") -> Iterator[tuple[tuple[str, ...], str]]:
    """The keys and the value of every path that is written as one, whatever else is wrong."""
    sources = _section(tree.value, "data", "sources")
    suites = _section(tree.value, "evaluation", "suites")
    keys = [
        ("model", "checkpoint"),
        *(("data", "sources", str(name), "path") for name in sources),
        *(("evaluation", "suites", str(name), "source") for name in suites),
    ]
    for key in keys:
        value = _section(tree.value, *key[:-1]).get(key[-1])
        if isinstance(value, str) and value and not (key[0] == "evaluation" and value in sources):
            yield key, value


def _section(node: Any, *names: str) -> dict[Any, Any]:
    for name in names:
        node = node.get(name) if isinstance(node, dict) else None
    return node if isinstance(node, dict) else {}
