"""`demo:shapes`: falling, thrown and rolling bodies in a box, seen by three cameras in two qualities.

Each folder (`fixed-high`, `fixed-low`, `tracking-high`, ...) is a source of its own with `videos/` and `captions/`. A
caption names the camera, the number of bodies, each body's size, colour, shape and motion, and the colours of the box;
no two clips of a folder have the same one. Low quality is blurred, noisy and compressed hard, and its captions do not
say so: it is what a mixture has to weigh.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from posttrain.data.demo import physics, render
from posttrain.data.demo.physics import Body

CAMERAS = ("fixed", "tracking", "zooming")
QUALITIES = {"high": 0.9, "low": 0.4}
CLIPS_PER_FOLDER = 64

_MOTIONS = ("falling", "thrown left", "thrown right", "thrown up", "rolling left", "rolling right")
_BODY_COLOURS = tuple(render.COLOURS)
_NUMBERS = {1: "One body", 2: "Two bodies", 3: "Three bodies"}
_MARGIN = 0.1  # of the box's walls that the widest camera sees


@dataclass(frozen=True)
class Clip:
    """One clip of a demo set: pixels, caption, what else its caption file says, and x264's quality.

    `controls` are more videos of it by the name of their folder, as `posttrain.data.controls` reads them.
    """

    frames_THWC: render.Frames
    caption: str
    metadata: dict[str, str | float]
    crf: int
    controls: Mapping[str, render.Frames] = field(default_factory=dict)


@dataclass
class Scene:
    """A box with bodies at the first frame, and the names of everything in it."""

    width: float
    wall: str
    ground: str
    bodies: list[Body]
    colours: list[str]
    motions: list[str]


def folders() -> list[str]:
    """The folders of the set, in order."""
    return [f"{camera}-{quality}" for camera in CAMERAS for quality in QUALITIES]


def clips(folder: str) -> Iterator[Clip]:
    """Renders one folder."""
    camera, quality = folder.split("-")
    rng = np.random.default_rng([1, folders().index(folder)])
    seen: set[str] = set()
    while len(seen) < CLIPS_PER_FOLDER:
        scene = draw_scene(rng, camera)
        zoom_in = bool(rng.random() < 0.5)
        caption = describe(scene, camera, zoom_in=zoom_in)
        if caption in seen:
            continue
        seen.add(caption)
        frames_THWC = film(scene, camera, zoom_in=zoom_in, noise=rng if quality == "low" else None)
        metadata: dict[str, str | float] = {"camera": camera, "quality": QUALITIES[quality]}
        yield Clip(frames_THWC, caption, metadata, crf=12 if quality == "high" else 38)


def draw_scene(rng: np.random.Generator, camera: str) -> Scene:
    """Draws a box and one to three bodies that do not touch each other."""
    width = 2.0 if camera == "tracking" else 1.0
    wall, ground = rng.choice(list(render.BACKGROUNDS), size=2, replace=False)
    count = int(rng.choice([1, 2, 3], p=[0.4, 0.4, 0.2]))
    scene = Scene(width, str(wall), str(ground), [], [], [])
    scene.colours = [str(name) for name in rng.choice(_BODY_COLOURS, size=count, replace=False)]
    while len(scene.bodies) < count:
        motion = str(rng.choice(_MOTIONS))
        body = _draw_body(rng, motion, width)
        if all(physics.contact(body, other)[0] < 0 for other in scene.bodies):
            scene.bodies.append(body)
            scene.motions.append(motion)
    return scene


def _draw_body(rng: np.random.Generator, motion: str, width: float) -> Body:
    shape = "disc" if motion.startswith("rolling") else str(rng.choice(["disc", "square"]))
    size = float(rng.choice([0.14, 0.21])) * (1.0 if shape == "disc" else 0.9)
    x = float(rng.uniform(size, width - size))
    if motion.endswith(("left", "right")):
        # starts on the far side, so that there is room for the motion that the caption names
        near = float(rng.uniform(size, size + 0.3 * (width - 2 * size)))
        x = near if motion.endswith("right") else width - near
    towards = {"left": -1.0, "right": 1.0}.get(motion.rsplit(maxsplit=1)[-1], 0.0)
    speed = float(rng.uniform(0.7, 1.1))
    if motion == "falling":
        return Body(shape, size, x, float(rng.uniform(0.6, 1 - size)), 0.0, 0.0)
    if motion == "thrown up":
        return Body(shape, size, x, size, 0.0, float(rng.uniform(1.3, 1.6)))
    if motion.startswith("thrown"):
        return Body(shape, size, x, float(rng.uniform(0.35, 0.7)), towards * speed, float(rng.uniform(0.3, 0.8)))
    return Body(shape, size, x, size, towards * speed, 0.0)


def describe(scene: Scene, camera: str, *, zoom_in: bool = False) -> str:
    """The caption of a scene at its first frame; `zoom_in` is about the zooming camera."""
    cameras = {
        "fixed": "Fixed camera.",
        "tracking": f"Tracking camera follows the {scene.colours[0]} {scene.bodies[0].shape}.",
        "zooming": f"Camera zooms {'in' if zoom_in else 'out'}.",
    }
    parts = [
        f"a {'large' if body.size > 0.15 else 'small'} {colour} {body.shape} {motion}"
        for body, colour, motion in zip(scene.bodies, scene.colours, scene.motions, strict=True)
    ]
    listed = parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
    return f"{cameras[camera]} {_NUMBERS[len(parts)]}: {listed}. {scene.wall.capitalize()} wall, {scene.ground} ground."


def film(
    scene: Scene, camera: str, *, zoom_in: bool = False, noise: np.random.Generator | None = None
) -> render.Frames:
    """Frames uint8 (T, H, W, 3) of the scene, which moves on; with `noise` blurred and grainy."""
    frames = []
    for index in range(render.NUM_FRAMES):
        if index:
            physics.advance(scene.bodies, scene.width, 1 / render.FPS)
        progress = index / (render.NUM_FRAMES - 1)
        picture = draw(scene, place_camera(scene, camera, progress if zoom_in else 1 - progress))
        if noise is not None:
            picture = render.blur(picture, 2.2)
            picture += noise.normal(0, 24, picture.shape).astype(np.float32)
        frames.append(render.to_uint8(picture))
    return np.stack(frames)


def place_camera(scene: Scene, camera: str, zoom: float) -> render.Camera:
    """Where the camera is; `zoom` from 0 (wide) to 1 is read by the zooming one alone."""
    wide = 1 + 2 * _MARGIN
    if camera == "tracking":
        body = scene.bodies[0]
        return render.Camera(body.x, 0.5 + 0.5 * (body.y - 0.5), 0.95)
    if camera == "zooming":
        view = wide * 1.4 ** (1 - 2 * zoom)
        return render.Camera(scene.width / 2, 0.5 * (1 - zoom) + 0.3 * zoom, view)
    return render.Camera(scene.width / 2, 0.5, wide)


def draw(scene: Scene, camera: render.Camera) -> render.Array:
    """The picture of the scene as it is now."""
    x, y = camera.grid()
    picture = render.fill(render.BACKGROUNDS[scene.wall])
    # tiles on the wall: without them a moving camera could not be told from a moving body
    render.tile(picture, x * 4, y * 4)
    inside = np.maximum(np.abs(x - scene.width / 2) - scene.width / 2, np.abs(y - 0.5) - 0.5)
    render.paint(picture, -inside, render.BACKGROUNDS[scene.ground], camera.pixel)
    for body, colour in zip(scene.bodies, scene.colours, strict=True):
        across, down = (_window(axis, centre, body.size + camera.pixel) for axis, centre in ((x, body.x), (y, body.y)))
        distance = outline(body, x[:, across], y[down])
        render.paint(picture[down, across], distance, render.COLOURS[colour], camera.pixel)
    return picture


def _window(axis: render.Array, centre: float, reach: float) -> slice:
    """The pixels of one axis that lie within `reach` of `centre`: a body leaves the others as they are."""
    near = np.flatnonzero(np.abs(axis - centre) <= reach)
    return slice(near[0], near[-1] + 1) if len(near) else slice(0)


def outline(body: Body, x: render.Array, y: render.Array) -> render.Array:
    """Signed distance to a body."""
    return (render.disc if body.shape == "disc" else render.square)(x - body.x, y - body.y, body.size)
