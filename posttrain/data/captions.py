"""Captions beside videos: `captions/<stem>.json` or `metas/<stem>.txt`, each folder with either ending.

JSON is `{"caption": "..."}`, `{"prompt": "..."}` or a plain string; other keys become the sample's metadata.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from posttrain.data import archives, files
from posttrain.data.sample import UnusableClip
from posttrain.data.text import decode_text, is_text, parse_json

# Looked for in this order, below the folder that holds videos/.
PLACES = (("captions", ".json"), ("captions", ".txt"), ("metas", ".txt"), ("metas", ".json"))
# What a caption is called in a metadata file or a shard, the one that counts first; in a caption file of its own
# `text` is a key like any other.
CAPTION_KEYS = ("caption", "text", "prompt")
_FILE_KEYS = ("caption", "prompt")
# What the stem of a file of other captions ends with; see `paraphrases`.
PARAPHRASES = ".paraphrases"


def caption_files(folder: Path) -> dict[str, list[Path]]:
    """Stem -> its caption files, the one that counts first."""
    found: dict[str, list[Path]] = {}
    for name, suffix in PLACES:
        place = folder / name
        for file in files.entries(place) if files.is_dir(place) else []:
            if file.stem.endswith(PARAPHRASES):
                continue
            if file.suffix.lower() == suffix and not file.name.startswith("."):
                found.setdefault(file.stem, []).append(file)
    return found


def read_caption(file: Path) -> tuple[str, dict[str, Any]]:
    """The caption and the metadata in `file`.

    Raises:
        UnusableClip: with the reason why there is no caption in it.
    """
    caption, metadata = read_caption_file(file)
    if not caption:
        raise UnusableClip(missing_keys(file) if caption is None else "empty caption")
    return caption, metadata


def read_caption_file(file: Path, keys: Sequence[str] = _FILE_KEYS) -> tuple[str | None, dict[str, Any]]:
    """The caption in `file`, None if it is JSON without any of `keys`, and the metadata.

    Raises:
        UnusableClip: with the reason why it cannot be read.
    """
    try:
        text = decode_text(archives.read_bytes(file))
    except UnusableClip as error:
        raise UnusableClip(f"caption is {error.reason} of {_place(file)}") from error
    except OSError as error:
        raise UnusableClip(f"caption is unreadable: {_place(file)}: {error.strerror}") from error
    if file.suffix.lower() != ".json":
        return caption_of(text, _place(file)), {}
    try:
        value = parse_json(text)
    except UnusableClip as error:
        raise UnusableClip(f"caption is not JSON: {_place(file)}: {error.reason.removeprefix('no JSON: ')}") from error
    if isinstance(value, str):
        return caption_of(value, _place(file)), {}
    if not isinstance(value, dict):
        raise UnusableClip(f"caption is not text: {_place(file)} holds a {_name(value)}, not an object or a string")
    return pick_caption(value, keys, _place(file))


def pick_caption(values: dict[str, Any], keys: Sequence[str], place: str) -> tuple[str | None, dict[str, Any]]:
    """The caption among `values`, None if there is none of `keys`, and the other values.

    Raises:
        UnusableClip: the caption is no text.
    """
    key = next((key for key in keys if key in values), None)
    if key is None:
        return None, values
    if not isinstance(values[key], str):
        raise UnusableClip(f'caption is not text: "{key}" of {place} is a {_name(values[key])}')
    others = {other: value for other, value in values.items() if other != key}
    return caption_of(values[key], place), others


def caption_of(text: str, place: str) -> str:
    """The text without white space around it.

    Raises:
        UnusableClip: it holds half a letter, which no file of ours could hold.
    """
    if not is_text(text):
        raise UnusableClip(f"caption is not text: {place} holds half a Unicode letter")
    return text.strip()


def missing_keys(file: Path, keys: Sequence[str] = _FILE_KEYS) -> str:
    """The reason where a caption file has none of `keys`."""
    told = " nor ".join(json.dumps(key) for key in keys)
    return f"no caption: {_place(file)} has {'neither ' if len(keys) > 1 else 'no '}{told}"


def _place(file: Path) -> str:
    return f"{file.parent.name}/{file.name}"


def _name(value: object) -> str:
    names = {dict: "object", list: "list", type(None): "null", bool: "boolean", int: "number", float: "number"}
    return names.get(type(value), type(value).__name__)
