"""What the config classes expect at a path, told from their annotations in the words of the user."""

import types
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from posttrain.config.space import KINDS, Dimension

_NOUNS: dict[Any, str] = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


@dataclass(frozen=True)
class Place:
    """A path that the classes know: its keys, the annotation there with its constraints, and the field it is in."""

    path: tuple[str, ...]
    annotation: Any
    metadata: tuple[Any, ...] = ()
    field: FieldInfo | None = None


def locate(model: type[BaseModel], loc: Sequence[str | int]) -> Place:
    """The place that an error's location means; what pydantic puts in for unions and keys is left out."""
    place = Place((), model)
    for key in loc:
        below = _below(place, key)
        if below is None:
            break
        place = below
    return place


def model_at(place: Place) -> type[BaseModel] | None:
    """The section class at a place, if it is a section."""
    classes = [a for a in _alternatives(place.annotation) if isinstance(a, type) and issubclass(a, BaseModel)]
    return classes[0] if classes else None


def expected(place: Place) -> str:
    """What may stand there, in words."""
    constraints = _constraints(place.metadata)
    texts = [_text(alternative, constraints) for alternative in _alternatives(place.annotation)]
    return " or ".join(dict.fromkeys(texts))


def literal_values(place: Place) -> tuple[str, ...]:
    """The texts that may stand there, where only certain ones may."""
    found: list[str] = []
    for alternative in _alternatives(place.annotation):
        if get_origin(alternative) is Literal:
            found += [str(value) for value in get_args(alternative)]
    return tuple(found)


def types_at(place: Place) -> tuple[str, ...]:
    """The values that `type` may have in the union of sections at a place."""
    members = [a for a in _alternatives(place.annotation) if isinstance(a, type) and issubclass(a, BaseModel)]
    return tuple(str(tag) for member in members for tag in get_args(_tag(member)))


def key_paths(model: type[BaseModel], prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The path of every field in the tree of classes; below named entries there is a `*`."""
    paths = []
    for name, field in model.model_fields.items():
        here = (*prefix, name)
        paths.append(here)
        for annotation in _alternatives(field.annotation):
            below, star = _entry(annotation)
            for inner in _alternatives(below):
                if isinstance(inner, type) and issubclass(inner, BaseModel) and not issubclass(inner, Dimension):
                    paths += key_paths(inner, (*here, "*") if star else here)
    return paths


def _below(place: Place, key: str | int) -> Place | None:
    tagged = _tagged(place, key)
    if tagged is not None:
        return Place((*place.path, f"<{key}>"), tagged)
    for annotation in _alternatives(place.annotation):
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            if str(key) in KINDS and annotation is KINDS[str(key)] and place.path[-1:] != (f"<{key}>",):
                return Place((*place.path, f"<{key}>"), annotation)
            field = annotation.model_fields.get(str(key))
            if field is not None:
                return Place((*place.path, str(key)), field.annotation, tuple(field.metadata), field)
        entry, star = _entry(annotation)
        if star and key != "[key]":
            inner, metadata = _unwrap(entry)
            return Place((*place.path, str(key)), inner, metadata, place.field)
    return None


def _tagged(place: Place, key: str | int) -> type[BaseModel] | None:
    """The member of a union by `type` that an error's location names by its tag."""
    members = [a for a in _alternatives(place.annotation) if isinstance(a, type) and issubclass(a, BaseModel)]
    if len(members) < 2:
        return None
    tags = {str(tag): member for member in members for tag in get_args(_tag(member))}
    return tags.get(str(key))


def _tag(member: type[BaseModel]) -> Any:
    field = member.model_fields.get("type")
    return field.annotation if field is not None else None


def _entry(annotation: Any) -> tuple[Any, bool]:
    """What stands below a list or a mapping of names; otherwise the annotation itself."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is dict:
        return arguments[1], True
    if origin in (tuple, list):
        return arguments[0], True
    return annotation, False


def _unwrap(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        flat = [m for item in metadata for m in (item.metadata if isinstance(item, FieldInfo) else [item])]
        return inner, tuple(flat)
    return annotation, ()


def _alternatives(annotation: Any) -> list[Any]:
    """The members of a union without None, unwrapped; metadata stays with `Annotated` members."""
    inner = _unwrap(annotation)[0]
    if get_origin(inner) in (Union, types.UnionType):
        members: list[Any] = []
        for member in get_args(inner):
            if member is type(None):
                continue
            bare = _unwrap(member)[0]
            members += _alternatives(bare) if get_origin(bare) in (Union, types.UnionType) else [member]
        return [_unwrap(m)[0] if not _is_scalar(_unwrap(m)[0]) else m for m in members]
    return [inner]


def _is_scalar(annotation: Any) -> bool:
    return annotation in _NOUNS


def _text(annotation: Any, outer: str) -> str:
    inner, own = _unwrap(annotation)
    if get_origin(inner) is Literal:
        values = [str(value) for value in get_args(inner)]
        return f"`{values[0]}`" if len(values) == 1 else f"one of {', '.join(values)}"
    if inner in _NOUNS:
        return _NOUNS[inner] + (_constraints(own) if own else outer)
    if isinstance(inner, type) and issubclass(inner, BaseModel):
        required = [name for name, field in inner.model_fields.items() if field.is_required()]
        return f"a section with {', '.join(required or list(inner.model_fields)[:4])}"
    return _collection_text(inner)


def _collection_text(annotation: Any) -> str:
    origin, members = get_origin(annotation), get_args(annotation)
    if origin is dict:
        return f"names, each with {_text(members[1], '')}"
    if origin is tuple and members[-1] is not Ellipsis:
        return f"a list of {len(members)} numbers, like [1, 2]"
    if origin in (tuple, list):
        return "a list" if members[0] is Any else f"a list, each {_text(members[0], '')}"
    return "a value"


def _constraints(metadata: Sequence[Any]) -> str:
    limits: dict[str, Any] = {}
    for item in metadata:
        for rule in getattr(item, "metadata", [item]):
            for kind, name in _LIMITS.items():
                if isinstance(rule, kind):
                    limits[name] = getattr(rule, kind.__name__.lower())
    if {"of at least", "of at most"} <= limits.keys():
        return f" from {limits['of at least']} to {limits['of at most']}"
    return f" {' and '.join(f'{name} {limit}' for name, limit in limits.items())}" if limits else ""


_LIMITS: dict[type, str] = {
    annotated_types.Gt: "above",
    annotated_types.Ge: "of at least",
    annotated_types.Lt: "below",
    annotated_types.Le: "of at most",
}
