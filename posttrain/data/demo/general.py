"""`demo:general`: patterns and sprites that move without gravity - what a tiny base model is taught first.

It shares its colours and its simplest shapes with `demo:shapes` and nothing of its mechanics, so post-training on
shapes has something to learn and something to forget.
"""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from posttrain.data.demo import render
from posttrain.data.demo.shapes import Clip

NUM_CLIPS = 96

# Draws one frame at a time of 0..1 through the clip.
Painter = Callable[[float], render.Array]

_DIRECTIONS = {"left": (-1.0, 0.0), "right": (1.0, 0.0), "up": (0.0, 1.0), "down": (0.0, -1.0)}
_SPRITES: dict[str, Callable[[render.Array, render.Array, float], render.Array]] = {
    "disc": render.disc,
    "square": render.square,
    "ring": render.ring,
    "cross": render.cross,
    "triangle": render.triangle,
}
_SPAN = 2 * np.pi


def clips() -> Iterator[Clip]:
    """Renders the whole set; kinds take turns, captions differ."""
    rng = np.random.default_rng(2)
    seen: set[str] = set()
    kinds = list(_KINDS.values())
    while len(seen) < NUM_CLIPS:
        caption, painter = kinds[len(seen) % len(kinds)](rng)
        caption = caption.replace("A orange", "An orange")
        if caption in seen:
            continue
        seen.add(caption)
        progress = np.linspace(0, 1, render.NUM_FRAMES)
        frames_THWC = np.stack([render.to_uint8(painter(float(at))) for at in progress])
        yield Clip(frames_THWC, caption, {"camera": "fixed"}, crf=12)


def _pair(rng: np.random.Generator) -> tuple[str, str]:
    first, second = rng.choice(list(render.COLOURS), size=2, replace=False)
    return str(first), str(second)


def _grid() -> tuple[render.Array, render.Array]:
    return render.Camera(0, 0, 2).grid()


def _blend(mix: render.Array, first: str, second: str) -> render.Array:
    colours = np.asarray([render.COLOURS[first], render.COLOURS[second]], np.float32)
    return np.asarray(colours[0] + mix[..., None] * (colours[1] - colours[0]), np.float32)


def _edge(wave: render.Array) -> render.Array:
    """A wave in -1..1 made into a stripe pattern with smooth edges."""
    return np.asarray(np.clip(0.5 + 3 * wave, 0, 1))


def _stripes(rng: np.random.Generator) -> tuple[str, Painter]:
    first, second = _pair(rng)
    direction = str(rng.choice(list(_DIRECTIONS)))
    width, count = [("Wide", 1.5), ("Narrow", 3.0)][int(rng.integers(2))]

    def painter(at: float) -> render.Array:
        x, y = _grid()
        dx, dy = _DIRECTIONS[direction]
        return _blend(_edge(np.sin(np.pi * count * (x * dx + y * dy - 1.2 * at))), first, second)

    return f"{width} {first} and {second} stripes drift {direction}.", painter


def _checkers(rng: np.random.Generator) -> tuple[str, Painter]:
    first, second = _pair(rng)
    motion = str(rng.choice(["turns left", "turns right", "grows", "shrinks", "stands still"]))

    def painter(at: float) -> render.Array:
        turn = {"turns left": 1.0, "turns right": -1.0}.get(motion, 0.0)
        scale = {"grows": 0.5**at, "shrinks": 2.0**at}.get(motion, 1.0)
        x, y = render.rotate(*_grid(), turn * at * 0.9)
        waves = np.sin(np.pi * 1.5 * x * scale) * np.sin(np.pi * 1.5 * y * scale)
        return _blend(_edge(2 * waves), first, second)

    return f"A {first} and {second} checkerboard {motion}.", painter


def _gradient(rng: np.random.Generator) -> tuple[str, Painter]:
    first, second = _pair(rng)
    direction = str(rng.choice(list(_DIRECTIONS)))

    def painter(at: float) -> render.Array:
        x, y = _grid()
        dx, dy = _DIRECTIONS[direction]
        return _blend(0.5 + 0.5 * np.sin(np.pi * (x * dx + y * dy) - 0.7 * _SPAN * at), first, second)

    return f"A soft {first} and {second} wave moves {direction}.", painter


def _bar(rng: np.random.Generator) -> tuple[str, Painter]:
    colour, back = str(rng.choice(list(render.COLOURS))), str(rng.choice(list(render.BACKGROUNDS)))
    motion, turn = [("left", 1.0), ("right", -1.0)][int(rng.integers(2))]
    start = float(rng.uniform(0, np.pi))

    def painter(at: float) -> render.Array:
        x, y = render.rotate(*_grid(), start + turn * np.pi * at)
        picture = render.fill(render.BACKGROUNDS[back])
        render.paint(picture, np.maximum(np.abs(x) - 0.85, np.abs(y) - 0.2), render.COLOURS[colour], 2 / render.SIZE)
        return picture

    return f"A {colour} bar turns {motion} on {back}.", painter


def _sprite(rng: np.random.Generator, motion: str) -> tuple[str, Painter]:
    shape, colour = str(rng.choice(list(_SPRITES))), str(rng.choice(list(render.COLOURS)))
    back = str(rng.choice(list(render.BACKGROUNDS)))
    place = _PATHS[motion](rng)

    def painter(at: float) -> render.Array:
        x, y = _grid()
        picture = render.fill(render.BACKGROUNDS[back])
        # the same faint tiles as on the wall of the box in demo:shapes, standing still
        render.tile(picture, x * 2, y * 2)
        centre_x, centre_y, radius = place(at)
        distance = _SPRITES[shape](x - centre_x, y - centre_y, radius)
        render.paint(picture, distance, render.COLOURS[colour], 2 / render.SIZE)
        return picture

    return f"A {colour} {shape} {motion} on {back}.", painter


Place = Callable[[float], tuple[float, float, float]]


def _straight(rng: np.random.Generator, direction: str) -> Place:
    dx, dy = _DIRECTIONS[direction]
    offset = float(rng.uniform(-0.5, 0.5))
    return lambda at: (dx * (1.2 * at - 0.6) + dy * offset, dy * (1.2 * at - 0.6) + dx * offset, 0.38)


def _orbit(rng: np.random.Generator) -> Place:
    start = float(rng.uniform(0, _SPAN))
    return lambda at: (0.5 * np.cos(start + _SPAN * at), 0.5 * np.sin(start + _SPAN * at), 0.38)


def _scaled(rng: np.random.Generator, first: float, last: float) -> Place:
    x, y = (float(value) for value in rng.uniform(-0.25, 0.25, size=2))
    return lambda at: (x, y, first + (last - first) * at)


_PATHS: dict[str, Callable[[np.random.Generator], Place]] = {
    **{f"moves {direction}": partial(_straight, direction=direction) for direction in _DIRECTIONS},
    "moves in a circle": _orbit,
    "grows": partial(_scaled, first=0.2, last=0.7),
    "shrinks": partial(_scaled, first=0.7, last=0.2),
}


def _any_sprite(rng: np.random.Generator) -> tuple[str, Painter]:
    return _sprite(rng, str(rng.choice(list(_PATHS))))


# Sprites twice: they are nearest to what post-training will show.
_KINDS: dict[str, Callable[[np.random.Generator], tuple[str, Painter]]] = {
    "stripes": _stripes,
    "sprite": _any_sprite,
    "checkers": _checkers,
    "gradient": _gradient,
    "sprite again": _any_sprite,
    "bar": _bar,
}
