"""The shape of the clips that a model reads."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class ClipSpec:
    """Frames x height x width in pixels, at `fps` frames per second.

    `controls` are the names of the control files that must lie beside each video; the pixels do not depend on them.
    """

    frames: int
    height: int
    width: int
    fps: float
    controls: tuple[str, ...] = ()

    @property
    def pixels(self) -> "ClipSpec":
        """What the pixels of a clip depend on."""
        return replace(self, controls=())

    @property
    def duration_s(self) -> float:
        """The time that the frames stand for; the last one begins at `duration_s - 1 / fps`."""
        return self.frames / self.fps
