"""Writes a data set of good clips with planted faults: `python -m tests.data.planted OUT` to look at it.

    main/    a source: good clips of many kinds, and every fault there is
    extra/   a second source: good clips, and copies of clips of main
    val/     what a suite measures; main holds copies of two of its clips

`write` tells what must be dropped, id -> kind of reason; everything else is good and must stay.
"""

import json
import shutil
import sys
from pathlib import Path

import av
import cv2
import numpy as np

NUM_FRAMES, FPS = 17, 8
HEIGHT, WIDTH = 96, 128
PLACEHOLDERS = 11  # the standard list lets 10 videos share a caption

Frames = np.ndarray


def write(root: Path) -> dict[str, str]:
    """Writes the three folders below `root`; returns id -> kind of the reason of every planted fault."""
    good = {**good_clips(), **fixed_camera()}
    for stem, frames in good.items():
        save(root / "main", stem, frames)
    for number in range(4):
        save(root / "extra", f"x{number}", moving(200 + number))
        save(root / "val", f"v{number}", moving(300 + number))
    return {**_plant_pictures(root), **_plant_copies(root), **_plant_captions(root), **_plant_files(root)}


def good_clips() -> dict[str, Frames]:
    """Scenes that a careless filter would lose."""
    scenes = {f"moving{number}": moving(number) for number in range(6)}
    scenes["night"] = (moving(20).astype(np.float32) * 0.1).astype(np.uint8)
    scenes["night_noisy"] = noisy((moving(21).astype(np.float32) * 0.15).astype(np.uint8), 2.0)
    scenes["fog"] = (moving(22).astype(np.float32) * 0.2 + 150).astype(np.uint8)
    scenes["snow"] = (moving(23).astype(np.float32) * 0.3 + 175).astype(np.uint8)
    scenes["pan"] = panned(30, 3)
    scenes["fast_pan"] = panned(31, 12)
    scenes["whip_pan"] = panned(35, [0, 0, 0, 0, 0, 30, 38, 35, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    scenes["hand_held"] = panned(32, 1, jitter=0.7)
    scenes["flash"] = flashed(moving(33), [6])
    scenes["flash_first"] = flashed(moving(36), [0])
    scenes["long_flash"] = flashed(moving(37), [8, 9])
    scenes["lamp_goes_on"] = lit(moving(34), 7)
    scenes["grain"] = noisy(moving(38), 8.0)
    scenes["small_event"] = moving(39, radius=3, speed=1.0)
    scenes["colour_only"] = equally_grey(40)
    return scenes


def fixed_camera() -> dict[str, Frames]:
    """One background, another event in each; the last two differ in the colour of what moves alone."""
    seen = background(50)
    events = {f"fixed{number}": with_disc(seen, 51 + number) for number in range(4)}
    return events | {f"fixed_{name}": with_disc(seen, 60, colour=colour) for name, colour in _COLOURS.items()}


_COLOURS = {"red": (210, 40, 40), "blue": (40, 60, 220)}


def _plant_pictures(root: Path) -> dict[str, str]:
    faults = {
        "black": (np.zeros((NUM_FRAMES, HEIGHT, WIDTH, 3), np.uint8), "too dark"),
        "almost_black": (noisy(np.full((NUM_FRAMES, HEIGHT, WIDTH, 3), 1, np.uint8), 1.0), "too dark"),
        "white": (np.full((NUM_FRAMES, HEIGHT, WIDTH, 3), 254, np.uint8), "too bright"),
        "grey": (noisy(np.full((NUM_FRAMES, HEIGHT, WIDTH, 3), 120, np.uint8), 1.0), "no contrast"),
        "cut": (np.concatenate([moving(72)[:9], moving(73)[9:]]), "cut"),
        "early_cut": (np.concatenate([moving(74)[:3], panned(75, 2)[3:]]), "cut"),
        "frozen": (np.repeat(moving(76)[:1], NUM_FRAMES, axis=0), "still"),
        "frozen_night": (np.repeat((moving(77)[:1] // 8), NUM_FRAMES, axis=0), "still"),
        "shaking": (panned(78, 0, jitter=6.0), "shaking"),
    }
    for stem, (frames, _) in faults.items():
        save(root / "main", stem, frames)
    out_of_focus = blurred(with_disc(background(70, 3 * HEIGHT, 3 * WIDTH), 70, radius=27), 9.0)
    save(root / "main", "blurred", out_of_focus, size=(3 * WIDTH, 3 * HEIGHT))
    # what encoders do to a frozen picture differs
    save(root / "main", "frozen_mpeg4", np.repeat(moving(79)[:1], NUM_FRAMES, axis=0), codec="mpeg4")
    others = {"main/blurred": "blurred", "main/frozen_mpeg4": "still"}
    return {f"main/{stem}": kind for stem, (_, kind) in faults.items()} | others


def _plant_copies(root: Path) -> dict[str, str]:
    main, extra = root / "main", root / "extra"
    copy(main, "moving0", main, "zz_exact")
    save(main, "zz_recompressed", moving(1), crf=36)
    save(main, "a_smaller", moving(2), size=(96, 72))
    save(main, "zz_mpeg4", moving(3), codec="mpeg4")
    save(main, "a_fixed_again", fixed_camera()["fixed1"], crf=34)
    save(main, "zz_pan_again", panned(31, 12), crf=32, size=(112, 84))
    copy(main, "moving4", extra, "of_main")
    save(extra, "of_main_recompressed", moving(5), crf=34)
    copy(root / "val", "v0", main, "a_of_val")
    save(main, "a_of_val_recompressed", moving(301), crf=34)
    near = ("zz_recompressed", "a_smaller", "zz_mpeg4", "a_fixed_again", "zz_pan_again", "a_of_val_recompressed")
    return {
        "main/zz_exact": "duplicate",
        "main/a_of_val": "duplicate",
        "extra/of_main": "duplicate",
        "extra/of_main_recompressed": "near duplicate",
        **{f"main/{stem}": "near duplicate" for stem in near},
    }


def _plant_captions(root: Path) -> dict[str, str]:
    main = root / "main"
    save(main, "one_word", moving(80), caption="Video.")
    save(main, "uncaptioned", moving(81), caption=None)
    for number in range(PLACEHOLDERS):
        save(main, f"placeholder{number:02d}", moving(90 + number), caption=f"{' ' * number}A Video of  something")
    placeholders = {f"main/placeholder{number:02d}": "caption repeated" for number in range(PLACEHOLDERS)}
    return {"main/one_word": "caption too short", "main/uncaptioned": "no caption", **placeholders}


def _plant_files(root: Path) -> dict[str, str]:
    videos = root / "main" / "videos"
    for stem in ("truncated", "empty"):
        save(root / "main", stem, moving(110))
    whole = (videos / "truncated.mp4").read_bytes()
    (videos / "truncated.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    (videos / "empty.mp4").write_bytes(b"")
    return {"main/truncated": "unreadable", "main/empty": "0 bytes"}


def background(seed: int, height: int = HEIGHT, width: int = WIDTH) -> Frames:
    """A scene with structure at all scales, uint8 (height, width, 3)."""
    rng = np.random.default_rng(seed)
    scene = np.zeros((height, width, 3), np.float32)
    for scale, strength in ((32, 60), (12, 35), (4, 14), (1, 5)):
        # real scenes have more structure in their light than in their colours
        light = rng.normal(0, strength, (height // scale + 2, width // scale + 2, 1))
        tint = rng.normal(0, strength / 4, (height // scale + 2, width // scale + 2, 3))
        grain = np.ascontiguousarray(light + tint, np.float32)
        scene += cv2.resize(grain, (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(6):
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        corner = (x + int(rng.integers(6, 30)), y + int(rng.integers(6, 30)))
        shade = rng.normal(0, 60) + rng.normal(0, 15, 3)
        cv2.rectangle(scene, (x, y), corner, tuple(float(value) for value in shade), -1)
    return np.clip(scene + rng.uniform(90, 150), 0, 255).astype(np.uint8)


def with_disc(
    scene: Frames, seed: int, *, radius: int = 9, speed: float = 4.0, colour: tuple[int, int, int] | None = None
) -> Frames:
    """A disc that crosses the scene, (NUM_FRAMES, H, W, 3)."""
    rng = np.random.default_rng(seed)
    height, width = scene.shape[:2]
    x, y, angle = rng.uniform(0.2, 0.8) * width, rng.uniform(0.2, 0.8) * height, rng.uniform(0, 2 * np.pi)
    shade = colour or tuple(int(value) for value in rng.integers(0, 255, 3))
    frames = []
    for index in range(NUM_FRAMES):
        at = (round(x + speed * index * np.cos(angle)) % width, round(y + speed * index * np.sin(angle)) % height)
        frames.append(cv2.circle(scene.copy(), at, radius, shade, -1, cv2.LINE_AA))
    return np.stack(frames)


def moving(seed: int, *, radius: int = 9, speed: float = 4.0) -> Frames:
    """A scene of its own in which a disc moves."""
    return with_disc(background(seed), seed, radius=radius, speed=speed)


def panned(seed: int, step: int | list[int], jitter: float = 0.0) -> Frames:
    """A camera that turns by `step` pixels a frame, its hand trembling by `jitter` pixels."""
    rng = np.random.default_rng(seed)
    steps = [step] * NUM_FRAMES if isinstance(step, int) else step
    scene = background(seed, HEIGHT + 40, WIDTH + 40 + sum(steps))
    frames, x = [], 20.0
    for index in range(NUM_FRAMES):
        dx, dy = rng.normal(0, jitter, 2) if jitter else (0.0, 0.0)
        centre = (x + dx + WIDTH / 2, 20 + dy + HEIGHT / 2)
        frames.append(cv2.getRectSubPix(scene, (WIDTH, HEIGHT), centre))
        x += steps[index]
    return np.stack(frames)


def flashed(frames: Frames, at: list[int]) -> Frames:
    """A flash that burns out most of the picture at those frames."""
    lit_frames = frames.copy()
    lit_frames[at] = np.clip(lit_frames[at].astype(np.float32) * 0.4 + 150, 0, 255).astype(np.uint8)
    return lit_frames


def lit(frames: Frames, begin: int) -> Frames:
    """A lamp that goes on and stays on."""
    dark = (frames.astype(np.float32) * 0.25).astype(np.uint8)
    return np.concatenate([dark[:begin], frames[begin:]])


def noisy(frames: Frames, strength: float) -> Frames:
    """Noise of a sensor, in levels."""
    rng = np.random.default_rng(0)
    return np.clip(frames + rng.normal(0, strength, frames.shape), 0, 255).astype(np.uint8)


def blurred(frames: Frames, sigma: float) -> Frames:
    return np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in frames])


def equally_grey(seed: int) -> Frames:
    """What moves differs from what is behind it in colour alone."""
    scene = np.full((HEIGHT, WIDTH, 3), (60, 128, 60), np.uint8)
    return with_disc(scene, seed, radius=20, colour=(202, 50, 80))


def copy(source: Path, stem: str, target: Path, new_stem: str) -> None:
    """The same file under another name, with a caption of its own."""
    (target / "videos").mkdir(parents=True, exist_ok=True)
    shutil.copy(source / "videos" / f"{stem}.mp4", target / "videos" / f"{new_stem}.mp4")
    _caption(target, new_stem, f"What is seen in {new_stem}")


def save(
    folder: Path,
    stem: str,
    frames: Frames,
    *,
    crf: int = 20,
    codec: str = "libx264",
    size: tuple[int, int] = (WIDTH, HEIGHT),
    caption: str | None = "",
) -> None:
    """Writes a clip with its caption; an empty one is made up, None is none."""
    (folder / "videos").mkdir(parents=True, exist_ok=True)
    with av.open(str(folder / "videos" / f"{stem}.mp4"), "w") as container:
        stream = container.add_stream(codec, rate=FPS)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        if codec == "libx264":
            stream.options = {"crf": str(crf), "preset": "veryfast"}
        else:
            stream.bit_rate = 800_000
        for frame in frames:
            resized = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(resized, format="rgb24")))
        container.mux(stream.encode())
    if caption is not None:
        _caption(folder, stem, caption or f"What is seen in {stem}")


def _caption(folder: Path, stem: str, caption: str) -> None:
    (folder / "captions").mkdir(exist_ok=True)
    (folder / "captions" / f"{stem}.json").write_text(json.dumps({"caption": caption}), encoding="utf-8")


if __name__ == "__main__":
    for sample_id, kind in sorted(write(Path(sys.argv[1])).items()):
        print(f"{sample_id}: {kind}")
