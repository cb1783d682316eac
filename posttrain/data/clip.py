"""The shape of the clips that a model reads."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ClipSpec:
    """Frames x height x width in pixels, at `fps` frames per second."""

    frames: int
    height: int
    width: int
    fps: float

    @property
    def duration_s(self) -> float:
        """The time that the frames stand for; the last one begins at `duration_s - 1 / fps`."""
        return self.frames / self.fps
