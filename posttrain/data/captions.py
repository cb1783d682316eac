"""Captions beside videos: `captions/<stem>.json` or `metas/<stem>.txt`, each folder with either ending.

JSON is `{"caption": "..."}`, `{"prompt": "..."}` or a plain string; other keys become the sample's metadata.
"""

import json
from pathlib import Path
from typing import Any, NoReturn

from posttrain.data.decode import UnusableClip

# Looked for in this order, below the folder that holds videos/.
PLACES = (("captions", ".json"), ("captions", ".txt"), ("metas", ".txt"), ("metas", ".json"))


def caption_files(folder: Path) -> dict[str, list[Path]]:
    """Stem -> its caption files, the one that counts first."""
    found: dict[str, list[Path]] = {}
    for name, suffix in PLACES:
        place = folder / name
        for file in sorted(place.iterdir()) if place.is_dir() else []:
            if file.suffix.lower() == suffix and not file.name.startswith("."):
                found.setdefault(file.stem, []).append(file)
    return found


def read_caption(file: Path) -> tuple[str, dict[str, Any]]:
    """The caption and the metadata in `file`.

    Raises:
        UnusableClip: with the reason why there is no caption in it.
    """
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnusableClip(f"caption is not UTF-8: byte {error.start} of {_place(file)}") from error
    except OSError as error:
        raise UnusableClip(f"caption is unreadable: {_place(file)}: {error.strerror}") from error
    caption, metadata = _parse_json(text, file) if file.suffix.lower() == ".json" else (text, {})
    caption = caption.strip()
    if not caption:
        raise UnusableClip("empty caption")
    if not caption.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in caption):
        raise UnusableClip(f"caption is not text: {_place(file)} holds half a Unicode letter")
    return caption, metadata


def _parse_json(text: str, file: Path) -> tuple[str, dict[str, Any]]:
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise UnusableClip(f"caption is not JSON: {_place(file)}: {error}") from error
    if isinstance(value, str):
        return value, {}
    if not isinstance(value, dict):
        raise UnusableClip(f"caption is not text: {_place(file)} holds a {_name(value)}, not an object or a string")
    key = next((key for key in ("caption", "prompt") if key in value), None)
    if key is None:
        raise UnusableClip(f'no caption: {_place(file)} has neither "caption" nor "prompt"')
    if not isinstance(value[key], str):
        raise UnusableClip(f'caption is not text: "{key}" of {_place(file)} is a {_name(value[key])}')
    return value[key], {other: value[other] for other in value if other != key}


def _place(file: Path) -> str:
    return f"{file.parent.name}/{file.name}"


def _name(value: object) -> str:
    names = {dict: "object", list: "list", type(None): "null", bool: "boolean", int: "number", float: "number"}
    return names.get(type(value), type(value).__name__)


def _refuse(constant: str) -> NoReturn:
    # NaN and Infinity are no JSON, and the manifest that repeats the metadata must be
    raise ValueError(f"{constant} is not JSON")
