"""From a record to a question with an answer: LLaVA conversations, and rows of question, choices and answer."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from posttrain.data.answer_text import answers_in
from posttrain.data.choices import chosen, in_order_of_letters, letter, without_letters
from posttrain.data.rows import ASSISTANT, IMAGE, SYSTEM, TAGS_WANTED, USER, VIDEO
from posttrain.data.sample import UnusableClip

_ROLES = {
    "human": USER, "user": USER, "gpt": ASSISTANT, "assistant": ASSISTANT, "system": SYSTEM,
}  # fmt: skip
_KNOWN = ("id", "conversations", "question", "choices", "options", "answer", "image", "images", "video")
MAX_CHOICES = 26


@dataclass(frozen=True)
class Embedded:
    """A medium that lies in the record itself."""

    data: bytes
    name: str


Media = str | Embedded


@dataclass
class Draft:
    """A row whose media were not looked at yet."""

    id: str | None
    turns: list[tuple[str, str]]
    answer: str
    images: list[Media]
    video: Media | None
    choices: list[str]
    metadata: dict[str, Any]
    notes: list[str] = field(default_factory=list)


def parse(record: dict[str, Any]) -> Draft:
    """Reads one record.

    Raises:
        UnusableClip: with the reason why there is no question with an answer in it.
    """
    images, video = _images(record), _one_medium(record.get("video"), "video")
    if record.get("conversations") is not None:
        turns, answer, notes = _conversation(record["conversations"])
        choices: list[str] = []
    else:
        turns, answer, choices = _question(record)
        notes = []
    metadata, left_out = _metadata(record)
    if left_out:
        notes.append(f"columns that JSON cannot hold left out: {', '.join(left_out)}")
    turns = _placed(turns, len(images), video is not None, notes if record.get("conversations") is not None else [])
    return Draft(_id(record.get("id")), turns, answer, images, video, choices, metadata, notes)


def _id(value: Any) -> str | None:
    return None if value is None or isinstance(value, dict | list) else _text(str(value), "id").strip() or None


def _conversation(value: Any) -> tuple[list[tuple[str, str]], str, list[str]]:
    """The turns up to the last answer, the answer, and what is unusual about them."""
    if not isinstance(value, list) or not value:
        raise UnusableClip("no question: conversations is no list of turns")
    turns = [_turn(entry) for entry in value]
    last = max((index for index, (role, _) in enumerate(turns) if role == ASSISTANT), default=None)
    if last is None:
        raise UnusableClip("no answer")
    notes = []
    if last < len(turns) - 1:
        notes.append("a question after the last answer left out")
    if any(role == ASSISTANT for role, _ in turns[:last]):
        notes.append("several answers: the last one is trained on, the others are its context")
    before, answer = turns[:last], turns[last][1].strip()
    if not before or before[-1][0] != USER or not _without_placeholders(before[-1][1]):
        raise UnusableClip("no question")
    if not answer:
        raise UnusableClip("empty answer")
    return before, answer, notes


def _turn(entry: Any) -> tuple[str, str]:
    if not isinstance(entry, dict):
        raise UnusableClip("turn is not text: no object")
    role = _ROLES.get(str(entry.get("from", entry.get("role"))))
    if role is None:
        raise UnusableClip(f"unknown role: {str(entry.get('from', entry.get('role')))[:20]}")
    return role, _text(entry.get("value", entry.get("content")), "turn")


def _question(record: dict[str, Any]) -> tuple[list[tuple[str, str]], str, list[str]]:
    if record.get("question") is None:
        raise UnusableClip("no question: neither conversations nor question")
    question = _text(record["question"], "question").strip()
    if not _without_placeholders(question):
        raise UnusableClip("no question")
    choices = _choices(record.get("choices") if record.get("choices") is not None else record.get("options"))
    answer = _answer(record.get("answer"), choices)
    listed = "\n".join(f"{letter(position)}. {choice}" for position, choice in enumerate(choices))
    asked = question if not listed or listed in question else f"{question}\n{listed}"
    turns = [] if "<answer>" in question else [(SYSTEM, TAGS_WANTED)]
    return [*turns, (USER, asked)], answer, choices


def _choices(value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, dict) and set(value) == {"label", "text"}:  # as in ARC and CommonsenseQA
        labels, texts = value["label"], value["text"]
        fits = isinstance(labels, list) and isinstance(texts, list) and len(labels) == len(texts)
        value = dict(zip(map(str, labels), texts, strict=True)) if fits else None
    if isinstance(value, dict):
        value = in_order_of_letters(value)
    if not isinstance(value, list):
        raise UnusableClip("choices are no list")
    written = [_text(str(choice) if isinstance(choice, int | float) else choice, "choice").strip() for choice in value]
    choices, letters = without_letters(written)
    if not 2 <= len(choices) <= MAX_CHOICES or len(set(choices)) < len(choices) or not all(choices):
        raise UnusableClip(f"choices do not fit: 2 to {MAX_CHOICES} different ones are expected")
    if letters != "".join(letter(position) for position in range(len(letters))):
        raise UnusableClip(f"choices do not fit: their letters are {', '.join(letters)}, expected A, B, ... in order")
    return choices


def _answer(value: Any, choices: Sequence[str]) -> str:
    if value is None:
        raise UnusableClip("no answer")
    answer = _text(str(value) if isinstance(value, int | float) else value, "answer").strip()
    if not answer:
        raise UnusableClip("empty answer")
    if choices and chosen(answers_in(answer)[-1], choices) is None:
        raise UnusableClip(f"answer is none of the choices: {answer[:40]}")
    return answer


def _placed(turns: list[tuple[str, str]], num_images: int, has_video: bool, notes: list[str]) -> list[tuple[str, str]]:
    """The turns with a placeholder for every medium; media that none stands for go before the first question."""
    for placeholder, expected, kind in ((VIDEO, int(has_video), "video"), (IMAGE, num_images, "image")):
        found = sum(text.count(placeholder) for role, text in turns if role == USER)
        if found == expected:
            continue
        if found:
            raise UnusableClip(f"placeholders do not match: {found} {placeholder} for {expected} {kind}s")
        notes.append(f"no {placeholder} in the text: its media go before the first question")
        first = next(index for index, (role, _) in enumerate(turns) if role == USER)
        turns[first] = (USER, placeholder * expected + "\n" + turns[first][1])
    return turns


def _images(record: dict[str, Any]) -> list[Media]:
    value = record.get("images") if record.get("images") is not None else record.get("image")
    entries = value if isinstance(value, list) else [] if value is None else [value]
    media = [_one_medium(entry, "image") for entry in entries]
    return [medium for medium in media if medium is not None]


def _one_medium(value: Any, kind: str) -> Media | None:
    if value is None:
        return None
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict):  # as datasets stores images and videos
        if isinstance(value.get("bytes"), bytes):
            return Embedded(value["bytes"], str(value.get("path") or kind))
        value = value.get("path")
    if isinstance(value, bytes):
        return Embedded(value, kind)
    if not isinstance(value, str) or not value:
        raise UnusableClip(f"{kind} is no path: {type(value).__name__}")
    if "://" in value:
        raise UnusableClip(f"{kind} is an address: download it and give its path")
    return value


def _metadata(record: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The other columns, and the names of those that the manifest could not hold."""
    kept: dict[str, Any] = {}
    left_out = []
    for name, value in record.items():
        if name in _KNOWN or value is None:
            continue
        try:
            kept[name] = json.loads(json.dumps(value, allow_nan=False))
        except (TypeError, ValueError):
            left_out.append(name)
    return kept, left_out


def _without_placeholders(text: str) -> str:
    return text.replace(IMAGE, "").replace(VIDEO, "").strip()


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise UnusableClip(f"{what} is not text: {type(value).__name__}")
    if not value.isprintable() and any("\ud800" <= character <= "\udfff" for character in value):
        raise UnusableClip(f"{what} is not text: half a Unicode letter")
    return value
