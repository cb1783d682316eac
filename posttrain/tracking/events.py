"""Event files of TensorBoard, written with the messages of the `tensorboard` package alone.

An event file is a series of records (tensorboard.summary.writer.record_writer), each one `Event`. Two rules
of the readers shape what is here (tensorboard/backend/event_processing: directory_watcher.py,
plugin_event_accumulator.py):

- A folder's files are read in the order of their names, and a live TensorBoard never returns to a file before
the one
  it has reached. So the stamp in a new file's name is later than every stamp in the folder, whatever the
  clocks of the machines that wrote them say (`new_path`).
- The first `SessionLog.START` of a folder means nothing; each later one drops everything at its step and
after. So
  the process that trains writes one when it opens its file, with the first step that it is going to write.
"""

from __future__ import annotations

import io
import os
import re
import socket
import time
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.types_pb2 import DataType
from tensorboard.summary.writer.record_writer import RecordWriter

_STAMP = re.compile(r"^events\.out\.tfevents\.(\d+)\.")


def event_files(folder: Path) -> list[Path]:
    """Return the event files of a folder (not of its sub-folders) in TensorBoard's reading order."""
    return sorted(path for path in folder.glob("events.out.tfevents.*") if _STAMP.match(path.name))


def stamp(path: Path) -> int:
    """Return the second at which an event file was begun, as its name says."""
    match = _STAMP.match(path.name)
    assert match, f"not an event file: {path}"
    return int(match[1])


def new_path(folder: Path, role: str) -> Path:
    """Return the path for a new event file, which TensorBoard reads after all files now in the folder.

    `role` ends the name and tells who wrote it: "metrics" (the worker), "session" or "experiment" (the
    driver).
    """
    latest = max((stamp(path) for path in event_files(folder)), default=0)
    begun = max(int(time.time()), latest + 1)
    return folder / f"events.out.tfevents.{begun:010d}.{socket.gethostname()}.{os.getpid()}.{role}"


def write_events(file: BinaryIO, events: Iterable[Event]) -> None:
    """Append events to an open binary file."""
    writer = RecordWriter(file)
    for event in events:
        writer.write(event.SerializeToString())


def encode(events: Iterable[Event]) -> bytes:
    """Return the content of a whole event file that holds `events`."""
    buffer = io.BytesIO()
    write_events(buffer, [version_event(), *events])
    return buffer.getvalue()


def version_event() -> Event:
    """Return the event that every event file begins with."""
    return Event(wall_time=time.time(), file_version="brain.Event:2")


def start_event(step: int) -> Event:
    """Return the event that drops what an earlier process wrote at `step` and after."""
    return Event(wall_time=time.time(), step=step, session_log=SessionLog(status=SessionLog.START))


def summary_event(values: Iterable[Summary.Value], step: int) -> Event:
    """Return one event with the given summaries at a step."""
    return Event(wall_time=time.time(), step=step, summary=Summary(value=list(values)))


def scalar(tag: str, value: float) -> Summary.Value:
    """Return a scalar summary; NaN and infinities are kept, TensorBoard marks them in the curve."""
    # `simple_value` and `image` are the older encoding, which every reader of event files understands.
    return Summary.Value(tag=tag, simple_value=value)


def image(tag: str, image_HWC: NDArray[np.uint8]) -> Summary.Value:
    """Return an image summary of one uint8 picture [height, width, 3], stored as PNG."""
    assert image_HWC.dtype == np.uint8, "a picture is uint8 [height, width, channels]"
    buffer = io.BytesIO()
    Image.fromarray(image_HWC).save(buffer, format="PNG")
    height, width, channels = image_HWC.shape
    picture = Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=buffer.getvalue())
    return Summary.Value(tag=tag, image=picture)


def text(tag: str, markdown: str) -> Summary.Value:
    """Return a text summary, which TensorBoard shows as Markdown in its Text tab."""
    plugin = SummaryMetadata.PluginData(plugin_name="text")
    tensor = TensorProto(dtype=DataType.DT_STRING, string_val=[markdown.encode()])
    tensor.tensor_shape.dim.add(size=1)
    return Summary.Value(tag=tag, metadata=SummaryMetadata(plugin_data=plugin), tensor=tensor)
