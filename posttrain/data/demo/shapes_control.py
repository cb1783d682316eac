"""`demo:shapes-control`: the scenes of demo:shapes with their true depth and segmentation beside them.

Each folder (`fixed`, `tracking`, `zooming`) is a source with `videos/`, `captions/`, `depth/` and `seg/`. A caption
names colours alone, the nearest body's first: what is where, of which shape and size, and how it moves, the controls
must tell; they in turn know nothing of the colours.
"""

from collections.abc import Iterator

import numpy as np

from posttrain.data.demo import physics, render, shapes
from posttrain.data.demo.shapes import Clip, Scene

CLIPS_PER_FOLDER = 32

# Depth as published annotators write it: nearer is brighter, in 0..255.
_WALL_DEPTH, _GROUND_DEPTH = 20.0, 70.0
_BODY_DEPTHS = (225.0, 175.0, 125.0)
_BULGE = 30.0
# One colour for each thing: wall, ground, then the bodies from the nearest on.
_WALL_LABEL, _GROUND_LABEL = (0, 0, 0), (90, 90, 90)
_BODY_LABELS = ((255, 70, 70), (70, 255, 70), (70, 70, 255))


def folders() -> list[str]:
    """The folders of the set, in order."""
    return list(shapes.CAMERAS)


def clips(folder: str) -> Iterator[Clip]:
    """Renders one folder; the bodies of a scene stand from near to far in the order of its lists."""
    rng = np.random.default_rng([3, folders().index(folder)])
    for _ in range(CLIPS_PER_FOLDER):
        scene = shapes.draw_scene(rng, folder)
        zoom_in = bool(rng.random() < 0.5)
        frames_THWC, depth_THWC, seg_THWC = _film(scene, folder, zoom_in)
        metadata: dict[str, str | float] = {"camera": folder, "quality": 0.9}
        controls = {"depth": depth_THWC, "seg": seg_THWC}
        yield Clip(frames_THWC, _caption(scene), metadata, crf=12, controls=controls)


def _caption(scene: Scene) -> str:
    listed = [f"{'an' if colour == 'orange' else 'a'} {colour} body" for colour in scene.colours]
    bodies = listed[0] if len(listed) == 1 else ", ".join(listed[:-1]) + " and " + listed[-1]
    return f"{bodies.capitalize()}. {scene.wall.capitalize()} wall, {scene.ground} ground."


def _film(scene: Scene, camera: str, zoom_in: bool) -> tuple[render.Frames, render.Frames, render.Frames]:
    pictures: list[tuple[render.Frames, render.Frames, render.Frames]] = []
    for index in range(render.NUM_FRAMES):
        if index:
            physics.advance(scene.bodies, scene.width, 1 / render.FPS)
        progress = index / (render.NUM_FRAMES - 1)
        view = shapes.place_camera(scene, camera, progress if zoom_in else 1 - progress)
        drawn = (shapes.draw(scene, view), _depth(scene, view), _labels(scene, view))
        pictures.append((render.to_uint8(drawn[0]), render.to_uint8(drawn[1]), render.to_uint8(drawn[2])))
    frames, depth, labels = zip(*pictures, strict=True)
    return np.stack(frames), np.stack(depth), np.stack(labels)


def _depth(scene: Scene, camera: render.Camera) -> render.Array:
    """Grey by nearness; discs are balls, squares are plates."""
    x, y = camera.grid()
    nearness = np.where(_inside(scene, x, y) > 0, np.float32(_WALL_DEPTH), np.float32(_GROUND_DEPTH))
    for body, near in zip(scene.bodies, _BODY_DEPTHS, strict=False):
        squared = ((x - body.x) ** 2 + (y - body.y) ** 2) / body.size**2
        bulge = _BULGE * np.sqrt(np.clip(1 - squared, 0, 1)) if body.shape == "disc" else 0.0
        nearness = np.where(shapes.outline(body, x, y) < 0, near + bulge, nearness)
    return np.repeat(nearness[..., None], 3, axis=-1).astype(np.float32)


def _labels(scene: Scene, camera: render.Camera) -> render.Array:
    """A colour for each thing, with hard edges."""
    x, y = camera.grid()
    inside = (_inside(scene, x, y) > 0)[..., None]
    picture = np.where(inside, np.asarray(_WALL_LABEL, np.float32), np.asarray(_GROUND_LABEL, np.float32))
    for body, label in zip(scene.bodies, _BODY_LABELS, strict=False):
        picture[shapes.outline(body, x, y) < 0] = label
    return picture


def _inside(scene: Scene, x: render.Array, y: render.Array) -> render.Array:
    """How deep a place lies inside the box; negative outside."""
    return np.asarray(-np.maximum(np.abs(x - scene.width / 2) - scene.width / 2, np.abs(y - 0.5) - 0.5))
