"""Other captions of a clip: `captions/<stem>.paraphrases.txt`, a text a line, or `.jsonl`, or the key `paraphrases`.

A line of JSONL is a text, or an object with one of `paraphrase`, `caption`, `text`, `prompt`. The key may stand in the
caption file, in a row of metadata or in a shard, and holds a list of texts. What cannot be used is a note, and the
clip is kept.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posttrain.data import archives, files
from posttrain.data.captions import CAPTION_KEYS, PARAPHRASES
from posttrain.data.sample import UnusableClip
from posttrain.data.text import decode_text, is_text, parse_json

KEY = "paraphrases"
_FOLDERS = ("captions", "metas")
_SUFFIXES = (".txt", ".jsonl")
_NO_TEXT = "paraphrases not used: not a text"
_REPEATED = "paraphrases not used: the same as the caption or as another one"


@dataclass(frozen=True)
class Paraphrases:
    """What was found for a clip.

    Attributes:
        texts: in the order of their places.
        metadata: the clip's, without the paraphrases.
        notes: what is unusual.
    """

    texts: tuple[str, ...]
    metadata: Mapping[str, Any]
    notes: tuple[str, ...]


def paraphrase_files(folder: Path) -> dict[str, list[Path]]:
    """Stem of the clip -> its files of paraphrases."""
    found: dict[str, list[Path]] = {}
    for place in (folder / name for name in _FOLDERS):
        for file in files.entries(place) if files.is_dir(place) else []:
            if file.stem.endswith(PARAPHRASES) and file.suffix.lower() in _SUFFIXES and not file.name.startswith("."):
                found.setdefault(file.stem.removesuffix(PARAPHRASES), []).append(file)
    return found


def read_paraphrases(caption: str, metadata: Mapping[str, Any], found: Iterable[Path]) -> Paraphrases:
    """The paraphrases of a clip with this caption and metadata."""
    notes: list[str] = []
    given: list[Any] = []
    for file in found:
        try:
            given += _lines(file)
        except UnusableClip as error:
            notes.append(f"paraphrases not used: {error.reason}")
        except OSError as error:
            notes.append(f"paraphrases not used: unreadable: {error.strerror}")
    listed = metadata.get(KEY, [])
    given += listed if isinstance(listed, (list, tuple)) else [listed]
    texts = [text.strip() if isinstance(text, str) and is_text(text) else "" for text in given]
    usable = list(dict.fromkeys(text for text in texts if text and text != caption))
    notes += [_NO_TEXT] * (not all(texts)) + [_REPEATED] * (len(usable) < sum(map(bool, texts)))
    others = {name: value for name, value in metadata.items() if name != KEY}
    return Paraphrases(tuple(usable), others, tuple(notes))


def _lines(file: Path) -> Iterator[Any]:
    """What each line that is not blank holds; None where it is no paraphrase."""
    for line in filter(str.strip, decode_text(archives.read_bytes(file)).splitlines()):
        yield line if file.suffix.lower() == ".txt" else _of_json(line)


def _of_json(line: str) -> Any:
    try:
        value = parse_json(line)
    except UnusableClip:
        return None
    if isinstance(value, dict):
        return next((value[key] for key in ("paraphrase", *CAPTION_KEYS) if key in value), None)
    return value
