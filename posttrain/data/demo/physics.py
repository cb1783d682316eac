"""Two-dimensional mechanics for the demo clips: discs and upright squares under gravity in a box.

Bodies have mass proportional to their area, bounce off the walls of [0, width] x [0, 1] and off each other, and do not
turn. Semi-implicit Euler with small steps: deterministic, and exact enough for a clip of two seconds.
"""

import math
from dataclasses import dataclass

import numpy as np

GRAVITY = 1.8  # world units per second squared; the box is one unit high
BOUNCE = 0.88  # share of the speed that a collision keeps
STEPS_PER_S = 240


@dataclass
class Body:
    """A disc of radius `size`, or a square with half side `size`, with its centre and its velocity."""

    shape: str
    size: float
    x: float
    y: float
    vx: float
    vy: float

    @property
    def mass(self) -> float:
        """Proportional to the area."""
        return self.size**2 * (math.pi if self.shape == "disc" else 4.0)


def advance(bodies: list[Body], width: float, seconds: float) -> None:
    """Moves `bodies` on by `seconds`, in place."""
    step = 1 / STEPS_PER_S
    for _ in range(round(seconds * STEPS_PER_S)):
        for body in bodies:
            body.vy -= GRAVITY * step
            body.x += body.vx * step
            body.y += body.vy * step
        for index, body in enumerate(bodies):
            for other in bodies[index + 1 :]:
                _collide(body, other)
        for body in bodies:
            _bounce_off_walls(body, width)


def contact(a: Body, b: Body) -> tuple[float, float, float]:
    """How deep two bodies overlap (negative: the gap) and the unit normal from `a` to `b`."""
    dx, dy = b.x - a.x, b.y - a.y
    if a.shape == "square" and b.shape == "square":
        return _along_axes(dx, dy, a.size + b.size)
    if a.shape == "disc" and b.shape == "disc":
        return _along_line(dx, dy, a.size + b.size)
    half, radius = (a.size, b.size) if a.shape == "square" else (b.size, a.size)
    # from the point of the square that is nearest to the disc's centre
    outside_x, outside_y = dx - _within(dx, half), dy - _within(dy, half)
    if outside_x == 0 and outside_y == 0:
        return _along_axes(dx, dy, half + radius)
    return _along_line(outside_x, outside_y, radius)


def _within(value: float, reach: float) -> float:
    """`value`, or the nearer end of -reach..reach; np.clip takes 50 times as long for one number."""
    return min(max(value, -reach), reach)


def _along_axes(dx: float, dy: float, reach: float) -> tuple[float, float, float]:
    if abs(dx) > abs(dy):
        return reach - abs(dx), math.copysign(1, dx), 0.0
    return reach - abs(dy), 0.0, math.copysign(1, dy)


def _along_line(dx: float, dy: float, reach: float) -> tuple[float, float, float]:
    distance = max(float(np.hypot(dx, dy)), 1e-9)
    return reach - distance, dx / distance, dy / distance


def _collide(a: Body, b: Body) -> None:
    depth, nx, ny = contact(a, b)
    if depth <= 0:
        return
    share = b.mass / (a.mass + b.mass)
    a.x, a.y = a.x - nx * depth * share, a.y - ny * depth * share
    b.x, b.y = b.x + nx * depth * (1 - share), b.y + ny * depth * (1 - share)
    closing = (a.vx - b.vx) * nx + (a.vy - b.vy) * ny
    if closing > 0:
        impulse = (1 + BOUNCE) * closing
        a.vx, a.vy = a.vx - nx * impulse * share, a.vy - ny * impulse * share
        b.vx, b.vy = b.vx + nx * impulse * (1 - share), b.vy + ny * impulse * (1 - share)


def _bounce_off_walls(body: Body, width: float) -> None:
    if not body.size <= body.x <= width - body.size:
        inward = 1 if body.x < body.size else -1
        body.x = min(max(body.x, body.size), width - body.size)
        body.vx = inward * BOUNCE * abs(body.vx)
    if not body.size <= body.y <= 1 - body.size:
        inward = 1 if body.y < body.size else -1
        body.y = min(max(body.y, body.size), 1 - body.size)
        body.vy = inward * BOUNCE * abs(body.vy)
