"""Built-in data sets, rendered on demand into real files and read back like anybody's.

`resolve("shapes")` gives the folder of a set in the cache, `resolve("shapes/fixed-high")` one source of it. A set is
built in a folder aside and renamed, so two processes may build it at once and a kill leaves nothing half done.
"""

import difflib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from posttrain import cache
from posttrain.data.demo import broken, digits, general, render, shapes, shapes_control
from posttrain.data.demo.shapes import Clip
from posttrain.errors import DataError, EnvironmentFault
from posttrain.paths import cache_dir, copy_folder

# A build folder of this age was left by a process that was killed.
_ABANDONED_AFTER_S = 3600.0
_CONTROL_CRF = 12


def resolve(name: str) -> Path:
    """The folder of the demo set or sub-folder `name`, rendered first if the cache lacks it.

    Raises:
        DataError: there is no such set or folder.
        EnvironmentFault: the cache cannot be written.
    """
    demo, _, folder = name.strip("/").partition("/")
    _check(demo, folder)
    target = cache_dir() / "demo" / f"{demo}-{_renderer_hash()}"
    if not cache.touch(target):
        _build(demo, target)
    return target / folder


def write(name: str, out_dir: Path) -> Path:
    """Writes the demo set (or sub-folder) `name` as files under `out_dir`, which must be empty or new.

    Raises:
        DataError: there is no such set, or `out_dir` holds something.
        EnvironmentFault: `out_dir` cannot be written.
    """
    source = resolve(name)
    if out_dir.exists() and (not out_dir.is_dir() or any(out_dir.iterdir())):
        raise DataError(f"{out_dir} is not an empty folder; name a new one for the demo set {name!r}")
    copy_folder(source, out_dir)
    return out_dir


def _check(demo: str, folder: str) -> None:
    known = [entry for name, parts in DEMOS.items() for entry in (name, *(f"{name}/{part}" for part in parts if part))]
    asked = f"{demo}/{folder}" if folder else demo
    if asked not in known:
        near = difflib.get_close_matches(asked, known, n=1)
        hint = f"; did you mean demo:{near[0]}?" if near else ""
        raise DataError(f"there is no demo set {asked!r}{hint}; there is {', '.join(known)}")


def _renderer_hash() -> str:
    """Names the renderer by its own source, so that a change of it can never read an older set."""
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:12]


def _build(demo: str, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep_abandoned(target.parent)
        aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            for folder, write_folder in DEMOS[demo].items():
                write_folder(aside / folder)
            aside.chmod(0o755)  # mkdtemp's folder is private, a shared cache is not
            _publish(aside, target)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        raise EnvironmentFault(
            f"cannot write the demo set {demo!r} to {target}: {error}; free some space there, or point POSTTRAIN_CACHE "
            "at another folder"
        ) from error


def _publish(aside: Path, target: Path) -> None:
    try:
        os.rename(aside, target)  # noqa: PTH104 - Path.rename says nothing about a target that is a full folder
    except OSError:
        if not target.is_dir():
            raise
        # another process was faster; its files are the same as ours


def _write_clips(clips: Callable[[], Iterator[Clip]], folder: Path) -> None:
    videos, captions = folder / "videos", folder / "captions"
    videos.mkdir(parents=True)
    captions.mkdir()
    for index, clip in enumerate(clips()):
        stem = f"{index:03d}"
        render.write_mp4(videos / f"{stem}.mp4", clip.frames_THWC, crf=clip.crf)
        for name, frames_THWC in clip.controls.items():
            (folder / name).mkdir(exist_ok=True)
            render.write_mp4(folder / name / f"{stem}.mp4", frames_THWC, crf=_CONTROL_CRF)
        text = json.dumps({"caption": clip.caption, **clip.metadata}, indent=1)
        (captions / f"{stem}.json").write_text(text, encoding="utf-8")


# Set name -> its folders ("" is the set itself) and what writes each.
DEMOS: dict[str, dict[str, Callable[[Path], None]]] = {
    "shapes": {folder: partial(_write_clips, partial(shapes.clips, folder)) for folder in shapes.folders()},
    "shapes-control": {
        folder: partial(_write_clips, partial(shapes_control.clips, folder)) for folder in shapes_control.folders()
    },
    "shapes-broken": {"": partial(_write_clips, broken.clips)},
    "general": {"": partial(_write_clips, general.clips)},
    "digits": {folder: partial(digits.write_folder, folder) for folder in digits.folders()},
    "digits-general": {"": partial(digits.write_folder, "general")},
}


def _sweep_abandoned(parent: Path) -> None:
    for folder in parent.glob(".*-*.*"):
        if time.time() - folder.stat().st_mtime > _ABANDONED_AFTER_S:
            shutil.rmtree(folder, ignore_errors=True)
