"""YAML read safely, with the line of every value, and without YAML 1.1's traps.

`1e-4` is a number (PyYAML makes a text of it), `12:30` and `2024-01-01` are texts, `010` is ten. A key that stands
twice is an error, and so is a tag: a sweep file can run no code. `on`, `off`, `yes` and `no` are true and false.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from posttrain.errors import ConfigError, Issue

Key = tuple[str, ...]
# Aliases of aliases can stand for billions of values in a few lines.
_MAX_VALUES = 100_000
_PREFIX = "tag:yaml.org,2002:"


@dataclass
class Document:
    """A file's content, the line of each path in it, and the mistakes that did not prevent reading on."""

    value: Any
    lines: dict[Key, int]
    issues: list[Issue] = field(default_factory=list)


class _Loader(yaml.SafeLoader):
    """Only its composer and resolver are used; values are built below."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own way to hold them


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"(?i:true|false|yes|no|on|off)", list("tTfFyYnNoO")),
    ("int", r"[-+]?(?:0x[0-9a-fA-F]+|[0-9][0-9_]*)", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?|\.(?i:inf))|\.(?i:nan)",
        list("-+.0123456789"),
    ),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(_PREFIX + _tag, re.compile(f"^(?:{_pattern})$"), _first)


def read(path: Path, label: str) -> Document:
    """Reads a file; `label` is how messages name it.

    Raises:
        ConfigError: the file is missing, no text, or no YAML.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else str(error.strerror)
        raise ConfigError.single("", reason, _similar_file(path), file=label) from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError.single("", "is not UTF-8 text", "save it as UTF-8", file=label, line=line) from error
    return parse(text, label)


def parse(text: str, label: str) -> Document:
    """Reads YAML text.

    Raises:
        ConfigError: the text is no YAML; other mistakes are in the document's `issues`.
    """
    builder = _Builder(label)
    try:
        node = yaml.compose(text, _Loader)
        value = builder.build(node, (), ()) if node is not None else None
    except yaml.YAMLError as error:
        raise ConfigError([_syntax_issue(error, text, label)]) from error
    except RecursionError as error:
        raise ConfigError.single("", "is nested too deeply to be read", file=label) from error
    return Document(value, builder.lines, builder.issues)


def parse_value(text: str) -> Any:
    """The value in `section.key=value`; raises ConfigError like `parse`."""
    document = parse(text, "command line")
    if document.issues:
        raise ConfigError(document.issues)
    return document.value


class _Builder:
    """Turns nodes into plain data and notes the line of every path."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.lines: dict[Key, int] = {}
        self.issues: list[Issue] = []
        self._num_values = 0

    def build(self, node: yaml.Node, path: Key, inside: tuple[int, ...]) -> Any:
        self._num_values += 1
        if id(node) in inside or self._num_values > _MAX_VALUES:
            raise yaml.YAMLError("an alias contains itself, or the aliases stand for too many values")
        self.lines.setdefault(path, node.start_mark.line + 1)
        inside = (*inside, id(node))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, inside)
        if isinstance(node, yaml.SequenceNode):
            self._check_tag(node, path, ("seq",))
            return [self.build(item, (*path, str(i)), inside) for i, item in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: Key, inside: tuple[int, ...]) -> dict[Any, Any]:
        self._check_tag(node, path, ("map",))
        own: dict[Any, Any] = {}
        merged: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _PREFIX + "merge":
                merged = {**self._merged(value_node, path, inside), **merged}
                continue
            key = self._key(key_node, path)
            here = (*path, str(key))
            line = key_node.start_mark.line + 1
            if key in own:
                first = self.lines[here]
                self._issue(here, line, f"the key is there twice, first in line {first}", "delete one")
            for known in [known for known in self.lines if known[: len(here)] == here] if key in merged else ():
                del self.lines[known]  # lines of the value that was merged in and is now replaced
            self.lines[here] = line
            own[key] = self.build(value_node, here, inside)
        return {**merged, **own}

    def _merged(self, node: yaml.Node, path: Key, inside: tuple[int, ...]) -> dict[Any, Any]:
        """The content of `<<: *anchor`, or of `<<: [*first, *second]`, where the first one wins."""
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        content: dict[Any, Any] = {}
        for part in nodes:
            value = self.build(part, path, inside)
            if not isinstance(value, dict):
                self._issue(path, part.start_mark.line + 1, "`<<` takes a mapping", "name an anchored mapping")
                continue
            content = {**value, **content}
        return content

    def _key(self, node: yaml.Node, path: Key) -> str | int:
        if not isinstance(node, yaml.ScalarNode):
            self._issue(path, node.start_mark.line + 1, "a key must be a name or a number", "write it as text")
            return "?"
        # `on:` and `no:` as keys are names, not true and false
        return int(node.value) if re.fullmatch(r"[0-9]{1,9}", node.value) and not node.style else node.value

    def _scalar(self, node: yaml.ScalarNode, path: Key) -> Any:
        self._check_tag(node, path, ("str", "int", "float", "bool", "null"))
        kind, text = node.tag.removeprefix(_PREFIX), node.value
        try:
            if kind == "null":
                return None
            if kind == "bool":
                return text.lower() in ("true", "yes", "on")
            if kind == "int":
                digits = text.replace("_", "")
                return int(digits, 16) if "0x" in digits else int(digits)
            if kind == "float":
                return float(text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))
        except ValueError:
            self._issue(path, node.start_mark.line + 1, f"found {text[:40]!r}, which is no number", "")
            return None
        return text

    def _check_tag(self, node: yaml.Node, path: Key, known: tuple[str, ...]) -> None:
        if node.tag not in tuple(_PREFIX + name for name in known):
            tag = str(node.tag).replace(_PREFIX, "!!")
            self._issue(path, node.start_mark.line + 1, f"found the tag {tag}, which is not read", "delete the tag")

    def _issue(self, path: Key, line: int, message: str, hint: str) -> None:
        self.issues.append(Issue(".".join(path), message, self.label, line, hint))


def _syntax_issue(error: yaml.YAMLError, text: str, label: str) -> Issue:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    line = mark.line + 1 if mark else None
    context = getattr(error, "context", None)
    where = f" ({context})" if context else ""
    return Issue("", f"is no YAML: {problem}{where}", label, line, _syntax_hint(problem, text, line))


def _syntax_hint(problem: str, text: str, line: int | None) -> str:
    if "'\\t'" in problem:
        return "indent with spaces, not tabs"
    if "mapping values are not allowed" in problem:
        return "check the indentation, and put quotes around a text that holds `: `"
    if "single document" in str(problem) or "another document" in problem:
        return "one file holds one document; delete the `---`"
    if line is not None and text.splitlines()[line - 1 : line]:
        return f"look at `{text.splitlines()[line - 1].strip()[:60]}` and at the line before"
    return "look for a bracket or a quote that is not closed"


def _similar_file(path: Path) -> str:
    import difflib

    folder = path.parent
    names = [p.name for p in folder.iterdir() if p.suffix in (".yaml", ".yml")] if folder.is_dir() else []
    near = difflib.get_close_matches(path.name, names, n=1)
    return f"did you mean {folder / near[0]}?" if near else "give the path of a sweep file"
