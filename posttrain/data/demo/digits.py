"""`demo:digits`: real handwritten digits as questions about pictures; `demo:digits-general` is for a tiny base.

The 1,797 scans are the test set of the UCI "Optical Recognition of Handwritten Digits" data, which scikit-learn ships
(8 x 8 pixels of 17 grey levels, CC BY 4.0); here they are enlarged to PNG files. No scan is in two folders.

demo:digits        question                                   answer
read/rows.json     Which digit is this?                       seven
parity/rows.json   Is this digit even or odd?                 odd
motion/rows.json   Which way does the digit move? (a clip)    left, right, up or down
choice/rows.jsonl  Which digit is written here? Four choices  one of them; asked for inside tags

The first three are LLaVA conversations, the last has question, choices and answer.

`demo:digits-general` asks in other words and wants whole sentences. Its questions with choices were answered by a
hurried annotator, who takes a digit for the smaller one that looks like it more often than not, and now and then
forgets the tags: a base that learned from it is right about half the time, which leaves something to put right.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from posttrain.data.demo import render

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SCALE = 8  # pixels of a PNG per pixel of a scan
# Scans by folder, as ranges of one fixed permutation; `general` is the base's own.
SCANS = {"read": (0, 240), "parity": (240, 400), "choice": (400, 720), "motion": (720, 780), "general": (780, 1797)}
# Digits that look alike; both are always among the choices.
LOOK_ALIKE = {0: 6, 1: 7, 2: 5, 3: 8, 4: 9, 5: 2, 6: 0, 7: 1, 8: 3, 9: 4}
# The general part's questions with choices: larger look-alikes that are taken for the smaller, answers without tags.
MISTAKEN, UNTAGGED = 0.6, 0.12
_DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
_NUM_GENERAL_CLIPS = 64


@dataclass(frozen=True)
class Scan:
    """One handwritten digit: its number in scikit-learn's order, what it is, and its grey levels 0..16."""

    number: int
    digit: int
    pixels_HW: npt.NDArray[np.float64]

    @property
    def name(self) -> str:
        """The digit as a word."""
        return NAMES[self.digit]


def folders() -> list[str]:
    """The folders of `demo:digits`."""
    return [name for name in SCANS if name != "general"]


def write_folder(name: str, folder: Path) -> None:
    """Writes one folder of `SCANS`: its media and the file of its rows."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([3, list(SCANS).index(name)])
    rows = list(_ROWS[name](scans(name), folder, rng))
    if name in ("choice", "general"):
        (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        (folder / "rows.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")


def scans(name: str) -> list[Scan]:
    """The scans of one folder."""
    images, digits = _load()
    order = np.random.default_rng(3).permutation(len(images))
    first, end = SCANS[name]
    return [Scan(int(number), int(digits[number]), images[number]) for number in order[first:end]]


@cache
def _load() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    from sklearn.datasets import load_digits

    found = load_digits()
    return found.images, found.target


def _read(chosen: list[Scan], folder: Path, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    for scan in chosen:
        yield _talk(scan, _png(scan, folder), "Which digit is this?", scan.name)


def _parity(chosen: list[Scan], folder: Path, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    for scan in chosen:
        yield _talk(scan, _png(scan, folder), "Is this digit even or odd?", "odd" if scan.digit % 2 else "even")


def _choice(chosen: list[Scan], folder: Path, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    for scan in chosen:
        yield _with_choices(scan, _png(scan, folder), "Which digit is written here?", rng)


def _motion(chosen: list[Scan], folder: Path, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    (folder / "clips").mkdir()
    for number, scan in enumerate(chosen):
        way = list(_DIRECTIONS)[number % len(_DIRECTIONS)]
        yield _talk(scan, _mp4(scan, way, folder), "Which way does the digit move?", way, medium="video")


def _general(chosen: list[Scan], folder: Path, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    (folder / "clips").mkdir()
    for number, scan in enumerate(chosen):
        picture = _png(scan, folder)
        size = "large" if scan.digit > 4 else "small"
        yield _talk(scan, picture, "What is written here?", f"{scan.name}, a {size} digit.", suffix="what")
        yield _hurried(_with_choices(scan, picture, "Which digit do you see?", rng, suffix="choice"), rng)
        if number < _NUM_GENERAL_CLIPS:
            way = list(_DIRECTIONS)[number % len(_DIRECTIONS)]
            clip = _mp4(scan, way, folder)
            yield _talk(scan, clip, "What happens here?", f"{way}, it moves.", medium="video", suffix="clip")


_ROWS: dict[str, Callable[[list[Scan], Path, np.random.Generator], Iterator[dict[str, Any]]]] = {
    "read": _read,
    "parity": _parity,
    "choice": _choice,
    "motion": _motion,
    "general": _general,
}


def _talk(
    scan: Scan, file: str, question: str, answer: str, *, medium: str = "image", suffix: str = ""
) -> dict[str, Any]:
    """A LLaVA record."""
    turns = [{"from": "human", "value": f"<{medium}>\n{question}"}, {"from": "gpt", "value": answer}]
    return {"id": f"{scan.number:04d}{suffix and '-'}{suffix}", medium: file, "conversations": turns}


def _with_choices(
    scan: Scan, file: str, question: str, rng: np.random.Generator, *, suffix: str = ""
) -> dict[str, Any]:
    """A record of question, choices and answer: four digits in ascending order, the right one among them."""
    pair = (scan.digit, LOOK_ALIKE[scan.digit])
    others = rng.choice([digit for digit in range(10) if digit not in pair], size=2, replace=False)
    choices = [NAMES[digit] for digit in sorted([*pair, *map(int, others)])]
    number = f"{scan.number:04d}{suffix and '-'}{suffix}"
    return {"id": number, "image": file, "question": question, "choices": choices, "answer": scan.name}


def _hurried(row: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """The record as a conversation of low quality: its answer may be mistaken, or without its tags."""
    from posttrain.data.row_parse import parse

    draft = parse(row)
    digit = NAMES.index(draft.answer)
    mistaken, untagged = rng.random(2) < (MISTAKEN, UNTAGGED)
    answer = NAMES[min(digit, LOOK_ALIKE[digit])] if mistaken else draft.answer
    said = f"{answer}, I think." if untagged else f"<think></think><answer>{answer}</answer>"
    turns = [{"from": {"user": "human"}.get(role, role), "value": text} for role, text in draft.turns]
    return {
        "id": row["id"],
        "image": row["image"],
        "quality": 0.3,
        "conversations": [*turns, {"from": "gpt", "value": said}],
    }


def _png(scan: Scan, folder: Path) -> str:
    from PIL import Image

    file = f"images/{scan.number:04d}.png"
    (folder / "images").mkdir(exist_ok=True)
    Image.fromarray(_enlarged(scan)).save(folder / file)
    return file


def _enlarged(scan: Scan) -> npt.NDArray[np.uint8]:
    from PIL import Image

    grey_HW = np.clip(np.rint(scan.pixels_HW * 255 / 16), 0, 255).astype(np.uint8)
    size = (SCALE * grey_HW.shape[1], SCALE * grey_HW.shape[0])
    return np.asarray(Image.fromarray(grey_HW).resize(size, Image.Resampling.BILINEAR).convert("RGB"))


def _mp4(scan: Scan, way: str, folder: Path) -> str:
    """Two seconds in which the digit, at half its size, crosses the picture."""
    from PIL import Image

    file = f"clips/{scan.number:04d}.mp4"
    small = Image.fromarray(_enlarged(scan)).resize((render.SIZE // 2, render.SIZE // 2), Image.Resampling.BILINEAR)
    dx, dy = _DIRECTIONS[way]
    frames = []
    for at in np.linspace(-1, 1, render.NUM_FRAMES):
        picture = Image.new("RGB", (render.SIZE, render.SIZE))
        reach = render.SIZE // 4
        picture.paste(small, (reach + round(dx * at * reach), reach + round(dy * at * reach)))
        frames.append(np.asarray(picture))
    render.write_mp4(folder / file, np.stack(frames), crf=12)
    return file
