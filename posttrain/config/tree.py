"""The layers of a sweep file: `defaults:` files below it, the command line above it, and where each value came from."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posttrain.config import yaml_lines
from posttrain.errors import ConfigError, Issue

Key = tuple[str, ...]
COMMAND_LINE = "command line"
# Mappings that are one value: a layer above replaces them whole.
_WHOLE = (("search_space", "*"), ("training", "conditioning_frames"), ("data", "stages", "*", "weights"))


@dataclass(frozen=True)
class Origin:
    """Where a value was written; `folder` is what relative file names beside it start from."""

    file: str
    line: int | None
    folder: Path

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass
class Tree:
    """Plain data, the origin of every path in it, and the mistakes found while it was read."""

    value: dict[str, Any]
    origins: dict[Key, Origin]
    issues: list[Issue] = field(default_factory=list)

    def origin(self, path: Sequence[str]) -> Origin:
        """Where a path, or the nearest thing around it, was written."""
        return next(self.origins[key] for key in _upwards(tuple(path)) if key in self.origins)

    def replace(self, path: Key, value: Any, origins: Mapping[Key, Origin]) -> None:
        """Puts a value at an existing place; `origins` are relative to it."""
        parent = self.value
        for key in path[:-1]:
            parent = parent[key]
        parent[path[-1]] = value
        self.forget(path)
        self.origins.update({(*path, *below): origin for below, origin in origins.items()})

    def put(self, path: Key, value: Any, origin: Origin) -> None:
        """Puts a value at a path whose sections are mappings, making those that are not there."""
        node = self.value
        for key in path[:-1]:
            node = node.setdefault(key, {})
        node[path[-1]] = value
        self.origins[path] = origin

    def forget(self, path: Key) -> None:
        """Drops the origins of a path and of all below it."""
        for known in [known for known in self.origins if known[: len(path)] == path]:
            del self.origins[known]


def read_layers(path: Path, overrides: Sequence[str]) -> Tree:
    """The file over the files it inherits from, under the overrides.

    Raises:
        ConfigError: a file cannot be read, is no mapping, or inherits from itself.
    """
    tree = _read(path, str(path), ())
    for text in overrides:
        _override(tree, text)
    return tree


def read_tree(path: Path, label: str) -> Tree:
    """One file as a tree; an empty file or one that is no mapping is a ConfigError."""
    document = yaml_lines.read(path, label)
    if not isinstance(document.value, dict):
        found = "nothing" if document.value is None else f"a {type(document.value).__name__}"
        issue = Issue("", f"found {found}, expected sections", label, 1, "see sweeps/ for a whole file")
        raise ConfigError([*document.issues, issue])
    origins = {key: Origin(label, line, path.parent) for key, line in document.lines.items()}
    return Tree(document.value, origins, document.issues)


def _read(path: Path, label: str, above: tuple[Path, ...]) -> Tree:
    tree = read_tree(path, label)
    if "defaults" not in tree.value:
        return tree
    name, origin = tree.value.pop("defaults"), tree.origin(("defaults",))
    tree.forget(("defaults",))
    chain = (*above, path.resolve())
    if not isinstance(name, str):
        issue = _at("defaults", f"found {name!r}, expected the name of one file", origin, "for example base.yaml")
        return Tree(tree.value, tree.origins, [*tree.issues, issue])
    other = path.parent / Path(name).expanduser()
    if other.resolve() in chain:
        circle = " -> ".join(p.name for p in (*chain, other))
        raise ConfigError([*tree.issues, _at("defaults", f"goes in a circle: {circle}", origin, "cut it")])
    try:
        base = _read(other, os.path.normpath(os.path.join(os.path.dirname(label), name)), chain)  # noqa: PTH118, PTH120 - a label
    except ConfigError as error:
        note = _at("defaults", f"{name} cannot be inherited from", origin, "see the next message")
        raise ConfigError([*tree.issues, note, *error.issues]) from error
    base.issues += tree.issues
    _lay_over(base, tree, (), base.value, tree.value)
    return base


def _lay_over(base: Tree, top: Tree, path: Key, below: dict[Any, Any], above: dict[Any, Any]) -> None:
    for key, value in above.items():
        here = (*path, str(key))
        old = below.get(key)
        if isinstance(old, dict) and isinstance(value, dict) and not _is_whole(here):
            _lay_over(base, top, here, old, value)
        else:
            base.forget(here)
            base.origins.update({k: o for k, o in top.origins.items() if k[: len(here)] == here})
            below[key] = value
            base.origins[here] = top.origin(here)


def _is_whole(path: Key) -> bool:
    return any(
        len(path) == len(whole) and all(w in ("*", p) for w, p in zip(whole, path, strict=True)) for whole in _WHOLE
    )


def _override(tree: Tree, text: str) -> None:
    """Applies `section.key=value`; its mistakes become issues like those of a file."""
    dotted, equals, written = text.partition("=")
    if not equals or not dotted.strip():
        tree.issues.append(
            Issue(text, "expected section.key=value", COMMAND_LINE, None, "for example training.steps=100")
        )
        return
    try:
        value = yaml_lines.parse_value(written)
    except ConfigError as error:
        tree.issues += [
            Issue(dotted, issue.message, COMMAND_LINE, None, "put the argument in quotes") for issue in error.issues
        ]
        return
    _set(tree, _split(dotted.strip()), value)


def _split(dotted: str) -> list[str]:
    """The keys of a path; names of search dimensions hold dots themselves."""
    head, _, rest = dotted.partition(".")
    return [head, rest] if head == "search_space" and rest else dotted.split(".")


def _set(tree: Tree, keys: list[str], value: Any) -> None:
    """Puts a value at a path, making the sections on the way that are not there."""
    origin = Origin(COMMAND_LINE, None, Path())
    node: Any = tree.value
    path: Key = ()
    for i, name in enumerate(keys):
        key = _index(node, name) if isinstance(node, list) else _key(node, name)
        if key is None:
            tree.issues.append(Issue(".".join(keys), _no_such_place(node, keys, i), COMMAND_LINE))
            return
        path = (*path, str(key))
        if i == len(keys) - 1:
            node[key] = value
        elif isinstance(node, dict) and node.get(key) is None:
            node[key] = {}
            tree.origins[path] = origin
        node = node[key]
    tree.forget(path)
    tree.origins[path] = origin


def _no_such_place(node: Any, keys: list[str], i: int) -> str:
    above = ".".join(keys[:i])
    if isinstance(node, list):
        names = [str(item.get("name", item.get("type"))) for item in node if isinstance(item, dict)]
        return f"{above} has no entry {keys[i]!r}; it has {', '.join(names) or 'none'}"
    return f"{above} is {node!r} and no section, so nothing can be set in it"


def _index(items: list[Any], key: str) -> int | None:
    """The place of an entry of a list, by its name, its type or its number."""
    for i, item in enumerate(items):
        if isinstance(item, dict) and key in (item.get("name"), item.get("type")):
            return i
    return int(key) if key.isdigit() and int(key) < len(items) else None


def _key(node: Any, name: str) -> str | int | None:
    """The key as it is written in a mapping (numbers are keys too); None where there is no mapping."""
    if not isinstance(node, dict):
        return None
    return int(name) if name.isdigit() and int(name) in node else name


def _at(where: str, message: str, origin: Origin, hint: str) -> Issue:
    return Issue(where, message, origin.file, origin.line, hint)


def _upwards(path: Key) -> list[Key]:
    return [path[:n] for n in range(len(path), -1, -1)]
