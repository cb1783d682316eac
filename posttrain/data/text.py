"""Texts that others wrote: UTF-8, or what their byte order mark says. Nothing else is guessed."""

import codecs
import json
from typing import Any, NoReturn

from posttrain.data.sample import UnusableClip

# UTF-32's mark begins like UTF-16's.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig", "UTF-8"),
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)


def decode_text(data: bytes) -> str:
    """The text in `data`.

    Raises:
        UnusableClip: it is in none of these encodings.
    """
    encoding, name = _encoding(data)
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise UnusableClip(f"not {name}: byte {error.start}") from error


def is_utf8(start: bytes) -> bool:
    """Whether a text that begins so is read as UTF-8."""
    return _encoding(start)[1] == "UTF-8"


def decode_lines(data: bytes) -> str:
    """Like `decode_text`, but bytes that are not UTF-8 stay as lone surrogates, which `is_text` tells in each line."""
    encoding, name = _encoding(data)
    return decode_text(data) if name != "UTF-8" else data.decode(encoding, "surrogateescape")


def is_text(text: str) -> bool:
    """Whether a text has no half letters in it."""
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def parse_json(data: bytes | str) -> Any:
    """JSON without NaN and Infinity.

    Raises:
        UnusableClip: it is something else.
    """
    text = decode_text(data) if isinstance(data, bytes) else data
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise UnusableClip(f"no JSON: {error}") from error


def _encoding(data: bytes) -> tuple[str, str]:
    return next(((encoding, name) for mark, encoding, name in _MARKS if data.startswith(mark)), ("utf-8", "UTF-8"))


def _refuse(constant: str) -> NoReturn:
    # NaN and Infinity are no JSON, and the manifest that repeats the metadata must be
    raise ValueError(f"{constant} is not JSON")
