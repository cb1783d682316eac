"""What all places say of a clip: its caption file first, then the rows of metadata, then its source.

Where two of them say different things the first one holds, and the conflict is a note.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posttrain.data.captions import CAPTION_KEYS, missing_keys, pick_caption, read_caption_file
from posttrain.data.metadata import Facts
from posttrain.data.sample import UnusableClip


@dataclass(frozen=True)
class Description:
    """A clip's caption and metadata, and what is unusual about them."""

    caption: str
    metadata: Mapping[str, Any]
    notes: tuple[str, ...]


def describe(
    caption_file: Path | None,
    facts: Sequence[Facts],
    defaults: Mapping[str, Any],
    key: str | None = None,
    unlisted: str | None = None,
) -> Description:
    """Joins what the places say; `key` is the caption's own column, `unlisted` a metadata file that lacks the clip.

    Raises:
        UnusableClip: there is no caption, or a place cannot be read.
    """
    caption: str | None = None
    told_by, blank = "", False
    metadata: dict[str, Any] = {}
    speakers: dict[str, str] = {}
    notes: list[str] = [] if unlisted is None else [f"no row in {unlisted}"]
    for speaker, text, values in _places(caption_file, facts, defaults, key):
        blank = blank or text == ""
        if text and caption is None:
            caption, told_by = text, speaker
        elif text and text != caption:
            notes.append(f"caption told twice: the {told_by}'s is used, not the {speaker}'s")
        for name, value in values.items():
            if name not in metadata:
                metadata[name], speakers[name] = value, speaker
            elif metadata[name] != value:
                notes.append(f"{name} told twice: the {speakers[name]}'s is used, not the {speaker}'s")
    if caption is None:
        raise UnusableClip("empty caption" if blank else _no_caption(caption_file, facts, key, unlisted))
    return Description(caption, metadata, tuple(notes))


def _places(
    caption_file: Path | None, facts: Sequence[Facts], defaults: Mapping[str, Any], key: str | None
) -> Iterator[tuple[str, str | None, Mapping[str, Any]]]:
    """What each place is called, its caption and its metadata, the first one first."""
    if caption_file is not None:
        told = read_caption_file(caption_file) if key is None else read_caption_file(caption_file, (key,))
        yield "caption file", *told
    for row in facts:
        caption, values = pick_caption(dict(row.values), CAPTION_KEYS if key is None else (key,), row.place)
        yield row.speaker, caption, values
    yield "source", None, defaults


def _no_caption(caption_file: Path | None, facts: Sequence[Facts], key: str | None, unlisted: str | None) -> str:
    if caption_file is not None:
        return missing_keys(caption_file) if key is None else missing_keys(caption_file, (key,))
    if facts:
        return f"no caption: {facts[0].place} has no {key or 'caption, text or prompt'}"
    return "no caption" if unlisted is None else f"no caption: no row in {unlisted}"
