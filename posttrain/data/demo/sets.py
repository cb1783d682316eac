"""The registry of built-in sets, and how the clips of one folder become files."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from posttrain.data.demo import broken, digits, general, render, shapes, shapes_control
from posttrain.data.demo.shapes import Clip

_CONTROL_CRF = 12


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


# Set name -> its folders ("" is the set itself) and what writes each into an empty folder.
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
