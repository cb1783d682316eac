"""Captions of mirrored clips: left and right exchanged where that is certain, else the clip is left alone.

`turned` reads English. A word of left or right is exchanged when what stands around it says that it means the side:
a preposition with an article ("to the left"), a verb of motion ("pans right"), a part of a body or of the picture
("her left hand", "the right lane"), a place ("top left"), the other one ("from left to right"). In any other place it
may mean what remains, who went away, or what is correct, and nothing is turned. So it is where the caption speaks of
what a mirror spoils without a word of left or right: text, numbers to read, maps, clockwise, a side of the road.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

from posttrain.data.caption_words import (
    AFTER_A_TURN,
    ARTICLES,
    AT_ONCE,
    BARE_PREPOSITIONS,
    BETWEEN,
    CERTAIN,
    COMPOUND,
    DETERMINERS,
    EXACTLY,
    LEAVERS,
    LINKS,
    MOVES,
    NEARLY,
    ONWARDS,
    PAIRING,
    PANS,
    PLACES,
    PREPOSITIONS,
    RESTS,
    SIDED,
    SIDED_OF,
    SIDES,
    STATES,
    THINGS,
    TURNS,
    VIEWS,
)

READING = "its caption speaks of something to read"
COMPASS = "its caption speaks of a map or of a compass direction"
ROTATION = "its caption speaks of a sense of rotation or of a handedness"
ROAD = "its caption speaks of the side of the road that is driven on"
LANGUAGE = "its caption may not be English"
AMBIGUOUS = "left or right in its caption may not mean the side"

_SPOILED: tuple[tuple[str, str], ...] = (
    (
        READING,
        r"texts?|words?|letters?|lettering|lettered|captions?|captioned|subtitles?|titles?|titled|logos?|labels?|"
        r"labell?ed|signs?|signage|signpost\w*|signboard\w*|billboards?|posters?|banners?|plaques?|inscri\w+|graffiti|"
        r"written|writes?|writing|wrote|handwrit\w+|reads?|reading|spells?|spelled|numbers?|numbered|numerals?|digits?|"
        r"digital|(?:license|licence|number|name)[- ]?plates?|clocks?|watch(?:es)? face|wristwatch\w*|keyboards?|"
        r"newspapers?|headlines?|scoreboards?|"
        r"speedometers?|odometers?|whiteboards?|blackboards?|chalkboards?|alphabets?|barcodes?|qr|typed|fonts?|"
        r"printed|dials?|timestamps?|watermarks?",
    ),
    (COMPASS, r"maps?|compass|globe|(?:north|south)(?:east|west)?(?:ern|erly|wards?|bound)?"),
    (COMPASS, r"(?:east|west)(?:ern|erly|wards?|bound)?"),
    (
        ROTATION,
        r"(?:counter|anti|contra)?-?clockwise|screw(?:s|ed|ing)?|unscrew\w*|southpaws?|starboard|port side|to port",
    ),
    (ROTATION, r"[bcdefgjklnpqrsz]-shaped|helix|helical|corkscrews?"),
    (ROAD, r"driv\w+(?: \w+){0,4} (?:on|in|along) the (?:left|right)|(?:left|right)[- ]hand (?:drive|traffic)"),
    (
        ROAD,
        r"(?:keep|keeps|keeping|stays?|staying) (?:to the )?(?:left|right)|traffic(?: \w+){0,3} on the (?:left|right)",
    ),
    (LANGUAGE, r"izquierd\w|derech\w|gauche|droite|links|rechts|sinistr\w|destr[ao]|esquerd\w|direit\w"),
)
_SPOILING = tuple((reason, re.compile(rf"\b(?:{words})\b", re.IGNORECASE)) for reason, words in _SPOILED)
_QUOTED = re.compile('["\u201c\u201d\u201e\u00ab\u00bb]|#\\d|\\bno\\. ?\\d', re.IGNORECASE)
_APOSTROPHES = "'\\u2019"
_TOKEN = re.compile(rf"[^\W_]+(?:[-{_APOSTROPHES}][^\W_]+)*|[^\w\s]")
_PARTS = re.compile(f"[-{_APOSTROPHES}]")
_SIDE = re.compile(r"left|right", re.IGNORECASE)
_LAST_LATIN = 0x250  # the end of Latin Extended-B
_ENDS = frozenset(",.;:!?()-/\u2013\u2014")


@lru_cache(maxsize=1 << 16)
def turned(caption: str) -> tuple[str | None, str]:
    """The caption of the mirrored clip, or None with the reason to leave the clip alone."""
    reason = _spoiled(caption)
    if reason:
        return None, reason
    tokens = list(_TOKEN.finditer(caption))
    words = [token[0].lower() for token in tokens]
    text, done = "", 0
    for place, token in enumerate(tokens):
        if not any(part.startswith(("left", "right")) for part in _PARTS.split(words[place])):
            continue
        if not _means_side(words, place):
            return None, AMBIGUOUS
        text += caption[done : token.start()] + _SIDE.sub(_exchanged, token[0])
        done = token.end()
    return text + caption[done:], ""


def _spoiled(caption: str) -> str | None:
    if any(letter.isalpha() and ord(letter) >= _LAST_LATIN for letter in caption):
        return LANGUAGE
    if _QUOTED.search(caption):
        return READING
    return next((reason for reason, pattern in _SPOILING if pattern.search(caption)), None)


def _exchanged(side: re.Match[str]) -> str:
    other = SIDES[side[0].lower()]
    return other.upper() if side[0].isupper() else other.capitalize() if side[0][0].isupper() else other


def _means_side(words: list[str], place: int) -> bool:
    word = words[place]
    if word in CERTAIN:
        return True
    if "-" in word:
        return all(part in COMPOUND or part in CERTAIN for part in word.split("-"))
    if word not in SIDES:
        return False  # leftover, rights, righteous
    before = [*reversed(words[max(0, place - 4) : place]), *[""] * 4]
    after = [*words[place + 1 : place + 4], *[""] * 3]
    return (
        any(place in pair for pair in _pairs(words))
        or _is_sided(word, before, after)
        or _is_a_place(before, after)
        or _is_a_direction(word, before, after)
        or _is_a_heading(before, after)
    )


def _pairs(words: list[str]) -> Iterator[tuple[int, int]]:
    """Where one side is named with the other: from left to right; not "the guests left and right after that"."""
    for first, word in enumerate(words[:-2]):
        if word not in SIDES or words[first + 1] not in PAIRING:
            continue
        second = first + 3 if words[first + 2] == "the" else first + 2
        following = words[second + 1] if second + 1 < len(words) else ""
        spoils = ARTICLES if words[first + 1] == "to" else AT_ONCE
        if second < len(words) and words[second] == SIDES[word] and following not in spoils:
            yield first, second


def _is_sided(word: str, before: list[str], after: list[str]) -> bool:
    """Her left hand, the right lane, the left part of; not "he left doors open"."""
    if word == "left" and (before[0] in LEAVERS or after[1] in STATES):
        return False
    return (
        after[0] in SIDED or (after[0] in SIDED_OF and after[1] == "of") or (after[0] in BETWEEN and after[1] in SIDED)
    )


def _is_a_place(before: list[str], after: list[str]) -> bool:
    """To the left, on its right, from the far left, top right; not "at the right time"."""
    follows = _ends(after[0]) or after[0] in LINKS or after[0] in (MOVES | RESTS) - THINGS
    if before[0] in PLACES and follows:
        return True
    if before[0] in VIEWS and before[1] not in ("the", "a") and follows:
        return True
    near = before[1:] if before[0] in ("far", "extreme", "immediate", "very") else before
    if near[0] in DETERMINERS:
        return near[1] in PREPOSITIONS and (follows or after[0] in ARTICLES)
    return near[0] in BARE_PREPOSITIONS and (_ends(after[0]) or after[0] in LINKS - EXACTLY)


def _is_a_direction(word: str, before: list[str], after: list[str]) -> bool:
    """Pans right, turned sharply left, takes a left, stands left of the door; not "left the room"."""
    slowed = before[0].endswith("ly") or before[0] in ("sharp", "hard", "further", "farther")
    verb = before[1] if slowed else before[0]
    follows = _ends(after[0]) or after[0] in LINKS
    if after[0] == "of":
        return before[0] in RESTS | MOVES | NEARLY and after[1] in ARTICLES
    if before[0] == "a":
        return before[1] in ("take", "takes", "taking", "make", "makes", "making") and follows and after[0] != "and"
    if verb not in MOVES or not follows:
        return False
    if verb in PANS or (verb in TURNS and after[0] in AFTER_A_TURN):
        return True
    if word == "left":
        return verb.endswith("ing") or _ends(after[0]) or after[0] in ONWARDS
    return after[0] not in EXACTLY


def _is_a_heading(before: list[str], after: list[str]) -> bool:
    """Left: a cat. Right: a dog. A cup (left)."""
    starts = not before[0] or before[0] in _ENDS
    return starts and (after[0] == ":" or (before[0] == "(" and after[0] == ")"))


def _ends(word: str) -> bool:
    return not word or word in _ENDS
