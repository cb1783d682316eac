"""pydantic's errors in the words of the user: what was found where, what was expected, the nearest name, the remedy."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from posttrain.config.base import REFUSAL, Finding
from posttrain.config.schema import Place, expected, key_paths, literal_values, locate, model_at, types_at
from posttrain.config.support import nearest
from posttrain.errors import Issue

# Path (keys as they stand in the document) -> file and line.
Locator = Callable[[Sequence[str]], tuple[str | None, int | None]]


def nowhere(_path: Sequence[str]) -> tuple[None, None]:
    """For documents that were not read from a file."""
    return None, None


def issues_of(error: ValidationError, model: type[BaseModel], document: Any, where: Locator = nowhere) -> list[Issue]:
    """One issue per wrong place of the document, in the order of pydantic's errors."""
    found: dict[str, Issue] = {}
    for details in error.errors(include_url=False):
        if _lost_its_items(details):
            continue
        for issue in _issues(details, model, document, where):
            found.setdefault(f"{issue.where} {issue.line}", issue)  # a union complains once per member
    return list(found.values())


def _lost_its_items(details: ErrorDetails) -> bool:
    """Whether pydantic calls a list too short because each of its items is wrong, which it reports as well."""
    given = details["input"]
    return (
        details["type"] == "too_short"
        and isinstance(given, (list, tuple))
        and len(given) >= details["ctx"]["min_length"]
    )


def issues_of_findings(
    findings: Iterable[Finding], document: Any, where: Locator, below: Sequence[str] = ()
) -> list[Issue]:
    """Issues of what validators found; their paths are relative to `below`."""
    return [_issue((*below, *path), message, hint, document, where) for path, message, hint in findings]


def dotted(path: Sequence[str], document: Any) -> str:
    """The path as messages show it: entries of lists by their names."""
    shown, node = [], document
    for key in path:
        name = key
        if isinstance(node, (list, tuple)) and key.isdigit() and int(key) < len(node):
            node = node[int(key)]
            name = str(node.get("name") or node.get("type") or key) if isinstance(node, dict) else key
        elif isinstance(node, dict):
            node = node.get(key, node.get(int(key)) if key.isdigit() else None)
        shown.append(name)
    return ".".join(shown)


def _issues(details: ErrorDetails, model: type[BaseModel], document: Any, where: Locator) -> list[Issue]:
    place = locate(model, details["loc"])
    path = tuple(key for key in place.path if not key.startswith("<"))
    kind, context = details["type"], details.get("ctx", {})
    if kind == REFUSAL:
        found = context.get("all") or [(context["at"], context["message"], context["hint"])]
        return issues_of_findings(found, document, where, path)
    if kind in ("extra_forbidden", "invalid_key"):
        key = str(details["loc"][-1])
        message, hint = _unknown_key(key, place, model)
        return [_issue((*path, key), message, hint, document, where)]
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return [_wrong_type(details, place, path, document, where)]
    if kind == "missing":
        return [_issue(path, f"is missing, expected {expected(place)}", _to_write(place), document, where)]
    if "[key]" in details["loc"]:
        message, hint = _wrong_key(str(details["input"]), path)
        return [_issue(path, message, hint, document, where)]
    return [_issue(path, *_wrong_value(details, place), document, where)]


def _issue(path: Sequence[str], message: str, hint: str, document: Any, where: Locator) -> Issue:
    file, line = where(path)
    return Issue(dotted(path, document), message, file, line, hint)


def _wrong_type(details: ErrorDetails, place: Place, path: Sequence[str], document: Any, where: Locator) -> Issue:
    """`type` decides which keys a section has; without a right one nothing else of it can be checked."""
    types = types_at(place)
    listed, example = f"expected one of {', '.join(types)}", f"write `type: {types[0]}`"
    given = details["input"]
    found = given.get("type") if isinstance(given, dict) else None
    if found is None:
        return _issue(path, f"`type` is missing, {listed}", example, document, where)
    near = nearest(found, types) if isinstance(found, str) else None
    hint = f"did you mean {near!r}?" if near else example
    file, line = where((*path, "type"))
    return Issue(dotted(path, document) + ".type", f"found {shown(found)}, {listed}", file, line, hint)


def _unknown_key(key: str, place: Place, model: type[BaseModel]) -> tuple[str, str]:
    section = model_at(place)
    siblings = tuple(section.model_fields) if section else ()
    message = "unknown key"
    near = nearest(key, siblings)
    if near:
        return message, f"did you mean {near!r}?"
    elsewhere = [".".join(path) for path in key_paths(model) if path[-1] == key]
    if elsewhere:
        return message, f"did you mean {elsewhere[0]}?"
    return message, f"the keys here are {', '.join(siblings)}"


def _wrong_key(key: str, path: Sequence[str]) -> tuple[str, str]:
    if "conditioning_frames" in path:
        return f"found the key {key!r}, expected a number of latent frames", "for example {1: 0.5, 2: 0.5}"
    return f"the name {key!r} is not allowed, expected letters, digits, _ and -", "rename it"


def _wrong_value(details: ErrorDetails, place: Place) -> tuple[str, str]:
    value = details["input"]
    kind = details["type"]
    if kind in ("too_short", "string_too_short"):
        return f"is empty, expected {expected(place)}", _about(place)
    if kind == "string_pattern_mismatch":
        return f"found {value!r}, expected letters, digits, . _ and -", "rename it"
    if kind == "finite_number":
        return f"found {value}, expected a finite number", _about(place)
    return f"found {shown(value)}, expected {expected(place)}", _value_hint(value, place)


def _value_hint(value: Any, place: Place) -> str:
    literals = literal_values(place)
    if isinstance(value, str) and literals:
        near = nearest(value, literals)
        return f"did you mean {near!r}?" if near else _about(place)
    if isinstance(value, str) and expected(place).startswith("a") and _reads_as_number(value):
        return "take away the quotes"
    if value is None:
        return "give a value, or delete the key to take its default" if _has_default(place) else "give a value"
    if isinstance(value, (int, float, bool)) and expected(place).startswith("a text"):
        return "put it in quotes"
    return _about(place)


def shown(value: Any) -> str:
    """A value as messages show it, cut when it is long."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return f"a section with {', '.join(map(str, value)) or 'nothing in it'}"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _about(place: Place) -> str:
    """What the field is for, and its default."""
    if place.field is None:
        return ""
    about = (place.field.description or "").strip().replace("\n", " ")
    default = place.field.default
    if _has_default(place) and isinstance(default, (int, float, str)):
        about = f"{about} The default is {shown(default) if isinstance(default, bool) else default}.".strip()
    return about


def _to_write(place: Place) -> str:
    """The remedy for a key that is missing."""
    literals = literal_values(place)
    return _about(place) or f"write `{place.path[-1]}: {literals[0] if len(literals) == 1 else '...'}`"


def _has_default(place: Place) -> bool:
    return place.field is not None and not place.field.is_required()


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
